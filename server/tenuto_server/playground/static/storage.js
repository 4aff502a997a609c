// @ts-check
/** What the browser keeps: conversations and preferences for this browser, the API key for this tab only. */
import { merged } from "./lib/conversation.js";
import { isRunning } from "./lib/reply.js";
import { store } from "./store.js";

const CONVERSATIONS = "tenuto.conversations";
const CHOICES = "tenuto.choices";
const KEY = "tenuto.key";
const SAVE_AFTER = 400;

/** Ids of conversations that were deleted in this tab. @type {Set<string>} */
export const removed = new Set();

/** Read what was kept. A reply that ran when the page was left has been interrupted. */
export function restore() {
  const { conversations, current } = read(localStorage, CONVERSATIONS) ?? {};
  const choices = read(localStorage, CHOICES) ?? {};
  for (const conversation of conversations ?? []) {
    for (const turn of Object.values(conversation.turns)) {
      if (turn.reply && isRunning(turn.reply)) interrupt(turn.reply);
    }
  }
  store.set({
    conversations: conversations ?? [],
    current: current ?? null,
    key: read(sessionStorage, KEY) ?? "",
    model: choices.model ?? "",
    budget: choices.budget ?? {},
    preferences: { ...store.value.preferences, ...choices.preferences },
  });
}

/** @param {import("./lib/reply.js").Reply} reply */
function interrupt(reply) {
  reply.status = "interrupted";
  reply.ended = reply.firstAnswer ?? reply.firstThinking ?? reply.started;
}

/**
 * @param {Storage} storage
 * @param {string} name
 * @returns {any}
 */
function read(storage, name) {
  try {
    return JSON.parse(storage.getItem(name) ?? "null");
  } catch {
    return null;
  }
}

/** Keep the state from now on, a moment after each change and when the page is left. */
export function keep() {
  let timer = 0;
  const save = () => {
    clearTimeout(timer);
    timer = 0;
    write();
  };
  store.follow(() => {
    timer ||= setTimeout(save, SAVE_AFTER);
  });
  addEventListener("pagehide", save);
}

function write() {
  const { conversations, current, model, budget, preferences, key } = store.value;
  sessionStorage.setItem(KEY, JSON.stringify(key));
  localStorage.setItem(CHOICES, JSON.stringify({ model, budget, preferences }));
  const kept = merged(conversations, read(localStorage, CONVERSATIONS)?.conversations ?? [], removed);
  while (kept.length) {
    try {
      localStorage.setItem(CONVERSATIONS, JSON.stringify({ conversations: kept, current }));
      return;
    } catch {
      kept.pop(); // The browser's store is full: the oldest one is dropped.
    }
  }
  localStorage.removeItem(CONVERSATIONS);
}
