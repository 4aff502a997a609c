// @ts-check
/** The panel that shows a model's thinking, with its counter, and steers it. */
import { html, useState } from "../vendor/htm-preact.js";
import { ending, facts } from "../lib/reply.js";
import { useStore } from "../store.js";
import { count, seconds } from "./format.js";
import { Icon } from "./icon.js";
import { ThinkingText } from "./thinking_text.js";
import { useLive } from "./use_live.js";

/**
 * @param {{live: import("../replies.js").Live, isFresh: boolean}} props isFresh: it was generated in this page, so that
 *   its thinking may be open without the reader having opened it
 */
export function ThinkingPanel({ live, isFresh }) {
  useLive(live);
  const startsCollapsed = useStore((state) => state.preferences.startsCollapsed);
  const [toggled, setToggled] = useState(/** @type {boolean | null} */ (null));
  const [isFull, setFull] = useState(false);
  const { reply } = live;
  const isThinking = reply.status === "thinking" || reply.status === "waiting";
  if (!reply.reasoning && !isThinking) return null;
  const isOpen = toggled ?? (isFresh && !startsCollapsed);
  const toggle = () => setToggled(!isOpen);
  return html`
    <section class="thinking" data-state=${isThinking ? "running" : "ended"} aria-busy=${isThinking}>
      <div class="thinking-head">
        <button class="thinking-toggle" aria-expanded=${isOpen} onClick=${toggle}>
          <span class=${`chevron${isOpen ? " open" : ""}`}><${Icon} name="right" /></span>
          <${Summary} reply=${reply} isThinking=${isThinking} />
        </button>
      </div>
      <${Meter} reply=${reply} />
      ${isOpen && html`<${ThinkingText} live=${live} isFull=${isFull} />`}
      <${Foot} live=${live} isThinking=${isThinking} isOpen=${isOpen} isFull=${isFull} setFull=${setFull}
        toggle=${toggle} />
      ${reply.steering.map((text, index) => html`<p class="steered" key=${index}>${text}</p>`)}
    </section>
  `;
}

/** @param {{reply: import("../lib/reply.js").Reply, isThinking: boolean}} props */
function Summary({ reply, isThinking }) {
  const { thinkingTokens, cap, thinkingTime, total } = facts(reply, performance.now());
  const tokens = cap === null ? count(thinkingTokens) : `${count(thinkingTokens)} / ${count(cap)}`;
  const title = reply.status === "waiting" ? "Waiting for the model" : isThinking ? "Thinking" : "Thought";
  return html`<span class="title">${title}</span><span class="numbers">${tokens}<span
    class="wide"> tokens</span> · ${seconds(thinkingTime ?? total)}</span>`;
}

/** @param {{reply: import("../lib/reply.js").Reply}} props */
function Meter({ reply }) {
  const { thinkingTokens, cap } = facts(reply, performance.now());
  if (!cap) return html`<div class="meter none"></div>`;
  return html`<div class="meter"><div
    style=${{ width: `${Math.min(100, (100 * thinkingTokens) / cap)}%` }}></div></div>`;
}

/** @param {{live: import("../replies.js").Live}} props */
function Steering({ live }) {
  const [text, setText] = useState("");
  const until = Number(text);
  const isNumber = /^\d+$/.test(text);
  const thinkOn = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (isNumber) live.steer(until);
  };
  return html`
    <div class="steering">
      <button class="small" onClick=${() => live.steer(null)}>Answer now</button>
      <form onSubmit=${thinkOn}>
        <label><span class="wide">Think on until</span> <input class="short"
          aria-label="Think on until this many tokens" inputmode="numeric" value=${text} placeholder="tokens"
          onInput=${(/** @type {any} */ event) => setText(event.target.value.trim())} /></label>
        <button class="small" type="submit" disabled=${!isNumber}>Think on</button>
      </form>
    </div>
  `;
}

/**
 * The end of the panel keeps its height when the thinking ends, so that the answer below does not jump.
 *
 * @param {{live: import("../replies.js").Live, isThinking: boolean, isOpen: boolean, isFull: boolean, setFull: (full: boolean) => void, toggle: () => void}} props
 */
function Foot({ live, isThinking, isOpen, isFull, setFull, toggle }) {
  const { reply } = live;
  const isForced = reply.forced.some((span) => span.kind === "end");
  const end = reply.report ? ending(reply.report) : isForced ? "End forced" : "";
  return html`
    <div class="thinking-foot">
      <div class="end">${isThinking && live.isRunning ? html`<${Steering} live=${live} />` : html`<span
        class=${isForced ? "forced" : ""}>${end}</span>`}</div>
      ${isOpen && html`<div class="row"><button class="link"
        onClick=${() => setFull(!isFull)}>${isFull ? "Show less" : "Show all"}</button><button class="link"
        onClick=${toggle}>Collapse</button></div>`}
    </div>
  `;
}
