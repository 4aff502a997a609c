// @ts-check
/** A conversation as a tree: an edit or another try is a new branch, and nothing is lost. */

/** @typedef {import("./reply.js").Reply} Reply */
/**
 * @typedef {object} Turn
 * @property {string} id
 * @property {string | null} parent
 * @property {"user" | "assistant"} role
 * @property {string} content
 * @property {Reply} [reply] of the assistant
 * @property {string} [model] that was asked
 * @property {import("./budget.js").Budget} [budget] with which it was asked
 */
/**
 * @typedef {object} Conversation
 * @property {string} id
 * @property {string} title
 * @property {string} system
 * @property {Record<string, Turn>} turns
 * @property {string[]} order ids of the turns, oldest first
 * @property {Record<string, string>} chosen the branch shown after a turn; `root` for the first turns
 * @property {number} changed in milliseconds
 */

const ROOT = "root";
const TITLE_LENGTH = 48;

/**
 * @param {string} id
 * @param {number} now
 * @returns {Conversation}
 */
export function newConversation(id, now) {
  return { id, title: "New conversation", system: "", turns: {}, order: [], chosen: {}, changed: now };
}

/**
 * Add a turn and show its branch.
 *
 * @param {Conversation} conversation
 * @param {Turn} turn
 * @returns {Conversation}
 */
export function addTurn(conversation, turn) {
  const isFirst = conversation.order.length === 0;
  return {
    ...conversation,
    title: isFirst && turn.role === "user" ? titleOf(turn.content) : conversation.title,
    turns: { ...conversation.turns, [turn.id]: turn },
    order: [...conversation.order, turn.id],
    chosen: { ...conversation.chosen, [turn.parent ?? ROOT]: turn.id },
  };
}

/** @param {string} text */
function titleOf(text) {
  const line = text.trim().split("\n", 1)[0] || "New conversation";
  return line.length > TITLE_LENGTH ? `${line.slice(0, TITLE_LENGTH).trimEnd()}…` : line;
}

/**
 * The turns that are shown, from the first to the last.
 *
 * @param {Conversation} conversation
 * @returns {Turn[]}
 */
export function shownTurns(conversation) {
  /** @type {Turn[]} */
  const found = [];
  let next = conversation.chosen[ROOT];
  while (next !== undefined && conversation.turns[next]) {
    found.push(conversation.turns[next]);
    next = conversation.chosen[next];
  }
  return found;
}

/**
 * All turns that could be in the place of this one, oldest first.
 *
 * @param {Conversation} conversation
 * @param {Turn} turn
 * @returns {Turn[]}
 */
export function siblings(conversation, turn) {
  return conversation.order.map((id) => conversation.turns[id]).filter((other) => other.parent === turn.parent);
}

/**
 * Show the branch of a turn.
 *
 * @param {Conversation} conversation
 * @param {Turn} turn
 * @returns {Conversation}
 */
export function choose(conversation, turn) {
  return { ...conversation, chosen: { ...conversation.chosen, [turn.parent ?? ROOT]: turn.id } };
}

/**
 * The messages to send for a reply to a turn. Earlier thinking is not sent, as chat templates would drop it.
 *
 * @param {Conversation} conversation
 * @param {string | null} last id of the last turn to send
 * @returns {{role: string, content: string}[]}
 */
export function messagesUpTo(conversation, last) {
  /** @type {{role: string, content: string}[]} */
  const messages = [];
  for (let id = last; id !== null;) {
    const turn = /** @type {Turn} */ (conversation.turns[id]);
    messages.unshift({ role: turn.role, content: turn.reply?.content ?? turn.content });
    id = turn.parent;
  }
  return conversation.system.trim() ? [{ role: "system", content: conversation.system }, ...messages] : messages;
}

/**
 * The conversations of this page together with those that other tabs have kept meanwhile, the latest change first.
 *
 * @param {Conversation[]} own
 * @param {Conversation[]} stored
 * @param {Set<string>} removed ids of those that were deleted here
 * @returns {Conversation[]}
 */
export function merged(own, stored, removed) {
  const all = new Map(stored.filter(({ id }) => !removed.has(id)).map((each) => [each.id, each]));
  for (const each of own) {
    const other = all.get(each.id);
    if (!other || each.changed >= other.changed) all.set(each.id, each);
  }
  return [...all.values()].filter((each) => each.order.length).sort((one, other) => other.changed - one.changed);
}

export const EXPORT_FORMAT = "tenuto-conversation-1";

/** @param {Conversation} conversation */
export function exported(conversation) {
  return JSON.stringify({ format: EXPORT_FORMAT, conversation }, null, 2);
}

/**
 * A conversation from a file.
 *
 * @param {string} text
 * @param {string} id for it here
 * @param {number} now
 * @returns {Conversation}
 * @throws {Error} in words for the reader, for a file that holds no conversation
 */
export function imported(text, id, now) {
  /** @type {any} */
  let data;
  try {
    data = JSON.parse(text);
  } catch {
    throw new Error("The file is not JSON.");
  }
  const given = data?.conversation;
  if (data?.format !== EXPORT_FORMAT || !isConversation(given))
    throw new Error("The file is not a conversation that this page has exported.");
  return {
    ...newConversation(id, now),
    title: given.title,
    system: given.system,
    turns: given.turns,
    order: given.order,
    chosen: given.chosen,
  };
}

/** @param {any} value */
function isConversation(value) {
  const hasTexts = typeof value?.title === "string" && typeof value.system === "string" && Array.isArray(value.order);
  if (!hasTexts || typeof value.turns !== "object" || typeof value.chosen !== "object" || !value.turns || !value.chosen)
    return false;
  /** @type {Set<string>} */
  const seen = new Set();
  return value.order.every((/** @type {string} */ id) => {
    const turn = value.turns[id];
    const isKnown = turn?.parent === null || seen.has(turn?.parent);
    seen.add(id);
    return turn?.id === id && isKnown && typeof turn.content === "string" && ["user", "assistant"].includes(turn.role);
  });
}
