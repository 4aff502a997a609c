// @ts-check
/** What a reader does with conversations: begin, send, edit, try again, switch branches, import and export. */
import { requestId } from "./api.js";
import { requestBody } from "./lib/budget.js";
import { addTurn, choose, exported, imported, messagesUpTo, newConversation } from "./lib/conversation.js";
import { newLive } from "./replies.js";
import { removed } from "./storage.js";
import { announce, store } from "./store.js";
import { download } from "./ui/download.js";

/** @typedef {import("./lib/conversation.js").Conversation} Conversation */
/** @typedef {import("./lib/conversation.js").Turn} Turn */

/** Replies that were generated in this page. */
const fresh = new WeakSet();

/** @param {Turn} turn */
export function isFresh(turn) {
  return turn.reply !== undefined && fresh.has(turn.reply);
}

/** @returns {Conversation} the one that is shown; a new one where there is none */
export function currentConversation() {
  const { conversations, current } = store.value;
  return conversations.find(({ id }) => id === current) ?? begin();
}

/** Begin a conversation, and show it. An empty one that exists is used. */
export function begin() {
  const empty = store.value.conversations.find((each) => !each.order.length);
  const conversation = empty ?? newConversation(requestId(), Date.now());
  const others = store.value.conversations.filter((each) => each !== conversation);
  store.set({ conversations: [conversation, ...others], current: conversation.id });
  return conversation;
}

/** @param {Conversation} conversation */
export function update(conversation) {
  const changed = { ...conversation, changed: Date.now() };
  store.set({ conversations: store.value.conversations.map((each) => (each.id === changed.id ? changed : each)) });
}

/** @param {string} id */
export function remove(id) {
  removed.add(id);
  const conversations = store.value.conversations.filter((each) => each.id !== id);
  const current = store.value.current === id ? (conversations[0]?.id ?? null) : store.value.current;
  store.set({ conversations, current });
}

/**
 * Add a message of the user after a turn, and have it answered.
 *
 * @param {string} text
 * @param {string | null} parent
 */
export function say(text, parent) {
  /** @type {Turn} */
  const turn = { id: requestId(), parent, role: "user", content: text };
  update(addTurn(currentConversation(), turn));
  answer(turn.id);
}

/**
 * Have a message of the user answered, in a new branch where it has an answer already.
 *
 * @param {string} parent
 */
export async function answer(parent) {
  const { model, budget } = store.value;
  const conversation = currentConversation();
  const body = requestBody(model, messagesUpTo(conversation, parent), budget);
  const live = newLive(body);
  fresh.add(live.reply);
  const turn = /** @type {Turn} */ ({
    id: requestId(),
    parent,
    role: "assistant",
    content: "",
    reply: live.reply,
    model,
    budget,
  });
  update(addTurn(conversation, turn));
  announce("The model is thinking.");
  const reply = await live.run(body);
  const endings = /** @type {Record<string, string>} */ ({
    done: "The reply is complete.",
    stopped: "Stopped.",
    error: `Error: ${reply.error}`,
  });
  announce(endings[reply.status] ?? "The reply was interrupted.");
  const answered = store.value.conversations.find(({ id }) => id === conversation.id);
  if (answered) update(answered); // what is kept includes the reply
}

/** @param {Turn} turn */
export function showBranch(turn) {
  update(choose(currentConversation(), turn));
}

/** @param {string} system */
export function setSystem(system) {
  update({ ...currentConversation(), system });
}

export function exportConversation() {
  const conversation = currentConversation();
  const name =
    conversation.title
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-|-$/g, "")
      .toLowerCase() || "conversation";
  download(`${name}.json`, new Blob([exported(conversation)], { type: "application/json" }));
}

/** @param {File} file */
export async function importConversation(file) {
  const conversation = imported(await file.text(), requestId(), Date.now());
  store.set({ conversations: [conversation, ...store.value.conversations], current: conversation.id });
}
