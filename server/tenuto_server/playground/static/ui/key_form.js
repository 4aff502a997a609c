// @ts-check
/** Asks for an API key, which stays in this tab. */
import { html, useState } from "../vendor/htm-preact.js";
import { connect } from "../api.js";
import { store, useStore } from "../store.js";

export function KeyForm() {
  const key = useStore((state) => state.key);
  const [text, setText] = useState("");
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    store.set({ key: text.trim(), connection: "connecting" });
    connect();
  };
  return html`
    <form class="card key" onSubmit=${submit}>
      <h1>API key</h1>
      <p>${key ? "The server does not accept this key." : "This server asks for an API key."} The key is kept in this tab until it is closed, and sent to this server only.</p>
      <label for="key">Key</label>
      <input id="key" type="password" autocomplete="off" required value=${text}
        onInput=${(/** @type {any} */ event) => setText(event.target.value)} />
      <button class="primary" type="submit">Continue</button>
    </form>
  `;
}
