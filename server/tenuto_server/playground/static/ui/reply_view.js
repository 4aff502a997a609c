// @ts-check
/** A reply: its thinking, its answer, and a line of facts. */
import { html } from "../vendor/htm-preact.js";
import { facts, warnings } from "../lib/reply.js";
import { count, seconds } from "./format.js";
import { Answer } from "./markdown.js";
import { ThinkingPanel } from "./thinking_panel.js";
import { useLive } from "./use_live.js";

/** @param {{live: import("../replies.js").Live, isFresh: boolean}} props */
export function ReplyView({ live, isFresh }) {
  useLive(live);
  const { reply } = live;
  const prefix = reply.forced.find((span) => span.kind === "answer")?.text ?? "";
  const isForced = prefix.trim() !== "" && reply.content.startsWith(prefix);
  return html`
    <${ThinkingPanel} live=${live} isFresh=${isFresh} />
    ${isForced && html`<mark class="forced answer"
      title="Forced: written by the server to begin the answer">${prefix.trim()}</mark>`}
    ${reply.content && html`<${Answer} live=${live} strip=${isForced ? prefix : ""} />`}
    <${Trouble} reply=${reply} />
    ${!live.isRunning && html`<${Facts} reply=${reply} />`}
  `;
}

/** @param {{reply: import("../lib/reply.js").Reply}} props */
function Trouble({ reply }) {
  const texts = warnings(reply);
  if (reply.status === "stopped") texts.push("Stopped.");
  if (reply.status === "interrupted")
    texts.push("The reply was interrupted: the page was left, or the server cut the stream.");
  return html`
    ${reply.error && html`<p class="error" role="alert">${reply.error}</p>`}
    ${texts.map((text) => html`<p class="warning" key=${text}>${text}</p>`)}
  `;
}

/** @param {{reply: import("../lib/reply.js").Reply}} props */
function Facts({ reply }) {
  if (!reply.completionTokens) return null;
  const found = facts(reply, performance.now());
  const parts = [
    ["Thinking", `${count(found.thinkingTokens)}${found.cap === null ? "" : ` / ${count(found.cap)}`}`],
    ["Answer", count(found.answerTokens)],
    ...(found.waits ? [["Waits", count(found.waits)]] : []),
    ...(found.toThinking === null ? [] : [["First thinking", seconds(found.toThinking)]]),
    ...(found.toAnswer === null ? [] : [["First answer", seconds(found.toAnswer)]]),
    ...(found.rate === null ? [] : [["Tokens/s", count(Math.round(found.rate))]]),
  ];
  return html`<dl class="facts">${parts.map(([name, value]) => html`<div
    key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
