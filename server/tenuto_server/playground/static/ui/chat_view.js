// @ts-check
/** A conversation: its turns, and the place to write the next message. */
import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { currentConversation, setSystem } from "../conversations.js";
import { isRunning, newReply } from "../lib/reply.js";
import { shownTurns } from "../lib/conversation.js";
import { liveOf } from "../replies.js";
import { store, useStore } from "../store.js";
import { Composer } from "./composer.js";
import { Icon } from "./icon.js";
import { TurnView } from "./turn_view.js";
import { useStatus } from "./use_live.js";

const NEAR = 80;
const NOTHING = liveOf({ ...newReply(0), status: "done" });

export function ChatView() {
  useStore((state) => state.conversations);
  useStore((state) => state.current);
  const conversation = currentConversation();
  const turns = shownTurns(conversation);
  const last = turns[turns.length - 1];
  const live = last?.reply ? liveOf(last.reply) : NOTHING;
  useStatus(live);
  const scroller = useFollowing(live, conversation.id, turns.length);
  return html`
    <div class="chat">
      <div class="turns" ref=${scroller} tabindex="0" role="region" aria-label="Conversation">
        <div class="page">
          <h1 class="hidden">${conversation.title}</h1>
          <${System} key=${conversation.id} conversation=${conversation} />
          ${!turns.length && html`<${Welcome} />`}
          ${turns.map((turn) => html`<${TurnView} key=${turn.id} turn=${turn} conversation=${conversation}
            isLast=${turn === last} />`)}
        </div>
      </div>
      <${Composer} parent=${last?.id ?? null} live=${last?.reply && isRunning(last.reply) ? live : null} />
    </div>
  `;
}

/**
 * Scroll with a running reply for as long as the reader is at the end.
 *
 * @param {import("../replies.js").Live} live
 * @param {string} conversation
 * @param {number} turns
 */
function useFollowing(live, conversation, turns) {
  const scroller = /** @type {{current: HTMLElement}} */ (useRef(null));
  const follows = useRef(true);
  const toEnd = () => {
    if (follows.current && scroller.current) scroller.current.scrollTop = 1e9;
  };
  useEffect(() => {
    const onScroll = () => {
      const { scrollHeight, scrollTop, clientHeight } = scroller.current;
      follows.current = scrollHeight - scrollTop - clientHeight < NEAR;
    };
    const element = scroller.current;
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => element.removeEventListener("scroll", onScroll);
  }, []);
  useEffect(() => {
    follows.current = true;
    toEnd();
  }, [conversation, turns]);
  useEffect(() => {
    let frame = 0;
    const end = live.follow(() => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        toEnd();
      });
    });
    return () => {
      end();
      cancelAnimationFrame(frame);
    };
  }, [live]);
  return scroller;
}

/** @param {{conversation: import("../lib/conversation.js").Conversation}} props */
function System({ conversation }) {
  const [isOpen, setOpen] = useState(conversation.system !== "");
  if (!isOpen)
    return html`<button class="link system-add" onClick=${() => setOpen(true)}>Add a system message</button>`;
  return html`
    <div class="system">
      <label for="system">System message</label>
      <textarea id="system" rows="2" dir="auto" value=${conversation.system}
        onInput=${(/** @type {any} */ event) => setSystem(event.target.value)}></textarea>
      <button class="icon small" aria-label="Remove the system message"
        onClick=${() => (setSystem(""), setOpen(false))}><${Icon} name="close" /></button>
    </div>
  `;
}

const BILLS = [
  "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9",
  "Add up this bill: nuts 3, soup 3, apples 9, butter 7",
  "Add up this bill: eggs 9, plums 7, juice 3, tea 3, nuts 3, water 1, rice 9, bread 4",
];
const QUESTIONS = [
  "How many positive divisors does 1260 have?",
  "A train leaves at 9:40 and arrives at 13:05. How long is the journey?",
  "What is the last digit of 7^2026?",
];

function Welcome() {
  const server = useStore((state) => state.server);
  const questions = server?.has_problems ? BILLS : QUESTIONS;
  const use = (/** @type {string} */ text) => {
    const field = /** @type {HTMLTextAreaElement} */ (document.getElementById("message"));
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  };
  return html`
    <div class="welcome">
      <h2>How long should it think?</h2>
      <p>Choose a budget, then ask. The thinking streams with its counter; what the server forces into it is marked.${server?.has_problems ? " The built-in model adds up bills: give it waits, and watch it find what it has missed." : ""}</p>
      <ul>
        ${questions.map((text) => html`<li key=${text}><button class="suggestion"
          onClick=${() => use(text)}>${text}</button></li>`)}
      </ul>
      ${server?.has_problems && html`<button class="link"
        onClick=${() => store.set({ budget: { ...store.value.budget, num_waits: 2 }, isBudgetShown: true })}>Set two waits</button>`}
    </div>
  `;
}
