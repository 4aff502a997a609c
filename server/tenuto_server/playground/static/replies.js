// @ts-check
/** Replies that run, or have run, in this page, and the components that show them. */
import { requestId, steer, streamReply } from "./api.js";
import { isRunning, newReply } from "./lib/reply.js";
import { announce } from "./store.js";

/** @typedef {import("./lib/reply.js").Reply} Reply */

/** A reply, and who shows it. It changes in place: a long one is not copied for each token. */
export class Live {
  /** @type {Set<() => void>} */
  #followers = new Set();
  #controller = new AbortController();

  /** @param {Reply} reply */
  constructor(reply) {
    this.reply = reply;
  }

  get isRunning() {
    return isRunning(this.reply);
  }

  /**
   * @param {() => void} follower called after each change
   * @returns {() => void} ends it
   */
  follow(follower) {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  changed = () => {
    for (const follower of [...this.#followers]) follower();
  };

  /** @param {Record<string, any>} body */
  async run(body) {
    const id = requestId();
    this.reply.id = `chatcmpl-${id}`;
    await streamReply({ ...body, request_id: id }, this.reply, this.#controller.signal, this.changed);
    return this.reply;
  }

  /** Stop the reply, here and on the server, whatever it is doing. */
  stop() {
    this.#controller.abort();
  }

  /** @param {number | null} until */
  async steer(until) {
    const result = await steer(this.reply.id, until);
    this.reply.steering = [...this.reply.steering, result];
    announce(result);
    this.changed();
  }
}

/** @type {WeakMap<Reply, Live>} */
const known = new WeakMap();

/**
 * @param {Reply} reply
 * @returns {Live}
 */
export function liveOf(reply) {
  let live = known.get(reply);
  if (!live) known.set(reply, (live = new Live(reply)));
  return live;
}

/**
 * @param {Record<string, any>} body
 * @returns {Live} not running yet
 */
export function newLive(body) {
  const cap = body.max_thinking_tokens;
  return liveOf(newReply(performance.now(), typeof cap === "number" ? cap : null));
}
