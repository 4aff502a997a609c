// @ts-check
/** One turn of a conversation, and what can be done with it. */
import { html, useState } from "../vendor/htm-preact.js";
import { BASE } from "../api.js";
import { answer, isFresh, say, showBranch } from "../conversations.js";
import { requestBody } from "../lib/budget.js";
import { messagesUpTo, siblings } from "../lib/conversation.js";
import { isRunning } from "../lib/reply.js";
import { LANGUAGES } from "../lib/snippets.js";
import { liveOf } from "../replies.js";
import { store } from "../store.js";
import { describe } from "./budget_line.js";
import { copy } from "./download.js";
import { Icon } from "./icon.js";
import { ReplyView } from "./reply_view.js";
import { useStatus } from "./use_live.js";

/** @typedef {import("../lib/conversation.js").Turn} Turn */
/** @typedef {import("../lib/conversation.js").Conversation} Conversation */

/** @param {{turn: Turn, conversation: Conversation, isLast: boolean}} props */
export function TurnView({ turn, conversation, isLast }) {
  return turn.role === "user"
    ? html`<${UserTurn} turn=${turn} conversation=${conversation} />`
    : html`<${AssistantTurn} turn=${turn} conversation=${conversation} isLast=${isLast} />`;
}

/** @param {{turn: Turn, conversation: Conversation}} props */
function UserTurn({ turn, conversation }) {
  const [draft, setDraft] = useState(/** @type {string | null} */ (null));
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (draft?.trim()) say(draft.trim(), turn.parent);
    setDraft(null);
  };
  if (draft !== null) {
    return html`
      <form class="turn user editing" onSubmit=${submit}>
        <textarea aria-label="Edit the message" rows="3" dir="auto" value=${draft}
          ref=${(/** @type {HTMLElement | null} */ field) => field?.focus()}
          onInput=${(/** @type {any} */ event) => setDraft(event.target.value)}></textarea>
        <div class="row">
          <button class="quiet" type="button" onClick=${() => setDraft(null)}>Cancel</button>
          <button class="primary" type="submit">Send</button>
        </div>
      </form>
    `;
  }
  return html`
    <article class="turn user" aria-label="You">
      <div class="bubble" dir="auto">${turn.content}</div>
      <div class="actions">
        <${Branches} turn=${turn} conversation=${conversation} />
        <button class="icon small" aria-label="Edit" title="Edit" onClick=${() => setDraft(turn.content)}><${Icon}
          name="edit" /></button>
      </div>
    </article>
  `;
}

/** @param {{turn: Turn, conversation: Conversation, isLast: boolean}} props */
function AssistantTurn({ turn, conversation, isLast }) {
  const reply = /** @type {import("../lib/reply.js").Reply} */ (turn.reply);
  const live = liveOf(reply);
  useStatus(live);
  const [isCodeShown, setCodeShown] = useState(false);
  const name = isRunning(reply)
    ? "Try again"
    : reply.status === "error" || reply.status === "interrupted"
      ? "Retry"
      : "Try again";
  return html`
    <article class="turn assistant" aria-label=${turn.model}>
      <header><span class="who">${turn.model}</span><span class="with">${describe(turn.budget ?? {})}</span></header>
      <${ReplyView} live=${live} isFresh=${isFresh(turn)} />
      ${
        !isRunning(reply) &&
        html`<div class="actions">
          <${Branches} turn=${turn} conversation=${conversation} />
          <button class=${reply.status === "error" ? "quiet" : "icon small"} aria-label=${name}
            title=${`${name}, with the present budget`}
            onClick=${() => answer(/** @type {string} */ (turn.parent))}><${Icon}
            name="again" />${reply.status === "error" && name}</button>
          <${CopyButton} label="Copy the answer" text=${() => reply.content.trim()} icon="copy" />
          <button class="icon small" aria-label="Show the request as code" aria-expanded=${isCodeShown}
            title="Show the request as code" onClick=${() => setCodeShown(!isCodeShown)}><${Icon}
            name="code" /></button>
        </div>`
      }
      ${isCodeShown && html`<${RequestCode}
        body=${requestBody(turn.model ?? "", messagesUpTo(conversation, turn.parent), turn.budget ?? {})} />`}
      ${isLast && !isRunning(reply) && html`<div class="end-of-turns"></div>`}
    </article>
  `;
}

/** @param {{turn: Turn, conversation: Conversation}} props */
function Branches({ turn, conversation }) {
  const all = siblings(conversation, turn);
  if (all.length < 2) return null;
  const at = all.indexOf(turn);
  return html`
    <div class="branches" role="group" aria-label="Branches">
      <button class="icon small" aria-label="Previous branch" disabled=${at === 0}
        onClick=${() => showBranch(all[at - 1])}><${Icon} name="left" /></button>
      <span>${at + 1} / ${all.length}</span>
      <button class="icon small" aria-label="Next branch" disabled=${at === all.length - 1}
        onClick=${() => showBranch(all[at + 1])}><${Icon} name="right" /></button>
    </div>
  `;
}

/** @param {{label: string, text: () => string, icon: string, wide?: boolean}} props */
export function CopyButton({ label, text, icon, wide }) {
  const [isDone, setDone] = useState(false);
  const act = async () => {
    await copy(text());
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button class=${wide ? "quiet" : "icon small"} aria-label=${isDone ? "Copied" : label}
    title=${isDone ? "Copied" : label} data-done=${isDone ? "" : undefined} onClick=${act}><${Icon}
    name=${icon} />${wide && (isDone ? "Copied" : "Copy")}</button>`;
}

/** @param {{body: Record<string, any>}} props */
function RequestCode({ body }) {
  const [language, setLanguage] = useState(/** @type {string} */ (LANGUAGES[0][0]));
  const write = /** @type {typeof LANGUAGES[number]} */ (LANGUAGES.find(([name]) => name === language))[1];
  const code = write(BASE, body, store.value.key !== "");
  return html`
    <div class="code-of-request">
      <div class="row" role="group" aria-label="Language">
        ${LANGUAGES.map(([name]) => html`<button key=${name} class="tab" aria-pressed=${name === language}
          onClick=${() => setLanguage(name)}>${name}</button>`)}
        <span class="spacer"></span>
        <${CopyButton} label="Copy the code" text=${() => code} icon="copy" wide />
      </div>
      <pre tabindex="0" aria-label=${`Request in ${language}`} role="region"><code>${code}</code></pre>
    </div>
  `;
}
