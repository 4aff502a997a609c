// @ts-check
/** Where the next message is written, sent, and the running reply stopped. */
import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { say } from "../conversations.js";
import { problems } from "../lib/budget.js";
import { useStore } from "../store.js";
import { BudgetLine } from "./budget_line.js";
import { Icon } from "./icon.js";

/** @param {{parent: string | null, live: import("../replies.js").Live | null}} props */
export function Composer({ parent, live }) {
  const [text, setText] = useState("");
  const field = /** @type {{current: HTMLTextAreaElement}} */ (useRef(null));
  const budget = useStore((state) => state.budget);
  const wrong = Object.values(problems(budget));
  const canSend = text.trim() !== "" && !live && !wrong.length;
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!canSend) return;
    say(text.trim(), parent);
    setText("");
    field.current.focus();
  };
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
    if (event.key === "Escape" && live) live.stop();
  };
  useEffect(() => {
    const { style } = field.current;
    style.height = "auto";
    style.height = `${Math.min(field.current.scrollHeight, 240)}px`;
  }, [text]);
  return html`
    <form class="composer" onSubmit=${submit}>
      <div class="page">
        <div class="field">
          <textarea id="message" ref=${field} rows="1" dir="auto" aria-label="Message" placeholder="Ask something"
            value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)}
            onKeyDown=${onKey}></textarea>
          ${
            live
              ? html`<button key="stop" type="button" class="round" aria-label="Stop" title="Stop (Esc)"
                onClick=${() => live.stop()}><${Icon} name="stop" /></button>`
              : html`<button key="send" type="submit" class="round primary" aria-label="Send" title="Send (Enter)"
                disabled=${!canSend}><${Icon} name="send" /></button>`
          }
        </div>
        <${BudgetLine} />
      </div>
    </form>
  `;
}
