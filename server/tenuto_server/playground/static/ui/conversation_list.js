// @ts-check
/** The conversations that this browser keeps. */
import { html, useRef, useState } from "../vendor/htm-preact.js";
import { begin, exportConversation, importConversation, remove } from "../conversations.js";
import { store, useStore } from "../store.js";
import { Icon } from "./icon.js";

export function ConversationList() {
  const conversations = useStore((state) => state.conversations);
  const current = useStore((state) => state.current);
  const start = () => {
    begin();
    store.set({ isListShown: false });
    setTimeout(() => document.getElementById("message")?.focus());
  };
  return html`
    <aside class="list" aria-label="Conversations">
      <button class="new" onClick=${start}><${Icon} name="plus" />New conversation</button>
      <ul>
        ${conversations.map(
          ({ id, title }) => html`
            <li key=${id} class=${id === current ? "current" : ""}>
              <button class="entry" aria-current=${id === current ? "true" : undefined}
                onClick=${() => store.set({ current: id, isListShown: false })}>${title}</button>
              <button class="icon small remove" aria-label=${`Delete “${title}”`} onClick=${() => remove(id)}><${Icon}
                name="trash" /></button>
            </li>
          `,
        )}
      </ul>
      <${Files} />
    </aside>
  `;
}

function Files() {
  const input = /** @type {{current: HTMLInputElement}} */ (useRef(null));
  const [problem, setProblem] = useState("");
  const take = async () => {
    const file = input.current.files?.[0];
    input.current.value = "";
    setProblem("");
    if (file) await importConversation(file).catch((/** @type {Error} */ error) => setProblem(error.message));
  };
  return html`
    <div class="files">
      <button class="quiet" onClick=${() => input.current.click()}><${Icon} name="upload" />Import</button>
      <button class="quiet" onClick=${exportConversation}><${Icon} name="download" />Export</button>
      <input class="hidden" type="file" accept=".json" aria-label="Conversation to import" tabindex="-1" ref=${input}
        onChange=${take} />
      ${problem && html`<p class="error" role="alert">${problem}</p>`}
      <p class="note">Kept in this browser only.</p>
    </div>
  `;
}
