// @ts-check
/** The state of the page, and how components follow it. */
import { useEffect, useState } from "./vendor/htm-preact.js";

/** @typedef {import("./lib/budget.js").Budget} Budget */
/** @typedef {import("./lib/budget.js").ServerSettings} ServerSettings */
/** @typedef {import("./lib/conversation.js").Conversation} Conversation */
/** @typedef {"chat" | "compare" | "scaling"} View */
/**
 * @typedef {object} Preferences
 * @property {"system" | "light" | "dark"} theme
 * @property {boolean} startsCollapsed whether thinking is shown closed, with its counter
 */
/**
 * @typedef {object} State
 * @property {"connecting" | "ready" | "loading" | "needs key" | "unreachable" | "unsupported"} connection
 * @property {string} trouble what is wrong with the connection, in words
 * @property {ServerSettings | null} server
 * @property {string} key
 * @property {string} model
 * @property {Budget} budget
 * @property {Preferences} preferences
 * @property {View} view
 * @property {Conversation[]} conversations
 * @property {string | null} current
 * @property {boolean} isBudgetShown
 * @property {boolean} isListShown
 * @property {string} announcement for screen readers
 */

/**
 * A value of which components show a part.
 *
 * @template T
 */
export class Store {
  /** @type {Set<() => void>} */
  #followers = new Set();

  /** @param {T} value */
  constructor(value) {
    this.value = value;
  }

  /** @param {Partial<T>} change */
  set(change) {
    this.value = { ...this.value, ...change };
    for (const follower of [...this.#followers]) follower();
  }

  /**
   * @param {() => void} follower
   * @returns {() => void} ends it
   */
  follow(follower) {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }
}

/** @type {Store<State>} */
export const store = new Store({
  connection: "connecting",
  trouble: "",
  server: null,
  key: "",
  model: "",
  budget: {},
  preferences: { theme: "system", startsCollapsed: false },
  view: "chat",
  conversations: [],
  current: null,
  isBudgetShown: false,
  isListShown: false,
  announcement: "",
});

/**
 * A part of the page's state. The component is rendered again when it changes.
 *
 * @template T
 * @param {(state: State) => T} select
 * @returns {T}
 */
export function useStore(select) {
  const [, setPart] = useState(() => select(store.value));
  useEffect(() => store.follow(() => setPart(() => select(store.value))), []);
  return select(store.value);
}

/** @param {string} text */
export function announce(text) {
  store.set({ announcement: text });
}

/** The model that is chosen, as the server describes it. */
export function chosenModel() {
  const { server, model } = store.value;
  return server?.models.find((each) => each.id === model);
}
