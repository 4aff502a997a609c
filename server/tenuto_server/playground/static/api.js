// @ts-check
/** Requests to the server that served the page. */
import { DONE, EventSplitter } from "./lib/sse.js";
import { fail, finish, stop, takeChunk } from "./lib/reply.js";
import { store } from "./store.js";

/** Where the server is: below the path at which a proxy may have put it. */
export const BASE = new URL(".", document.baseURI).href.replace(/\/$/, "");

const GONE = "The server cannot be reached. It may have been stopped; your text is kept, and you can try again.";
/** Errors with a status that can be tried again, in words for the reader. */
const TRANSIENT = 503;

/** An error response. */
export class APIError extends Error {
  /**
   * @param {number} status 0 where no response came
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} path
 * @param {RequestInit & {json?: unknown}} [options]
 * @returns {Promise<Response>}
 * @throws {APIError}
 */
export async function send(path, { json, ...options } = {}) {
  const headers = new Headers(options.headers);
  if (store.value.key) headers.set("Authorization", `Bearer ${store.value.key}`);
  if (json !== undefined) headers.set("Content-Type", "application/json");
  const body = json === undefined ? undefined : JSON.stringify(json);
  let response;
  try {
    response = await fetch(`${BASE}/${path}`, { ...options, headers, body, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new APIError(0, GONE);
  }
  if (response.ok) return response;
  if (response.status === 401) store.set({ connection: "needs key" });
  throw new APIError(response.status, await messageOf(response));
}

/** @param {Response} response */
async function messageOf(response) {
  const data = await response.json().catch(() => null);
  const message = data?.error?.message ?? `The server answered with status ${response.status}.`;
  return response.status === TRANSIENT ? `The server does not accept requests now: ${message}.` : message;
}

/** Load what the page needs to know of the server, and find out what stands in the way. */
export async function connect() {
  try {
    const server = await (await send("playground/settings")).json();
    const model = server.models.some((/** @type {{id: string}} */ each) => each.id === store.value.model)
      ? store.value.model
      : server.models[0]?.id;
    store.set({ connection: "ready", trouble: "", server, model });
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    const connection = error.status === 401 ? "needs key" : error.status === TRANSIENT ? "loading" : "unreachable";
    store.set({ connection, trouble: error.message });
  }
}

/** @returns {string} an id for a request, which no other client can guess */
export function requestId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Stream a chat completion into a reply, until it ends in any way.
 *
 * @param {Record<string, any>} body
 * @param {import("./lib/reply.js").Reply} reply
 * @param {AbortSignal} signal stops the reply, on the server too
 * @param {() => void} changed called after each piece of the stream
 */
export async function streamReply(body, reply, signal, changed) {
  const json = {
    ...body,
    return_forced_text: true,
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
  };
  try {
    const response = await send("v1/chat/completions", { method: "POST", json, signal });
    await readEvents(/** @type {ReadableStream<Uint8Array>} */ (response.body), reply, changed);
    finish(reply, performance.now());
  } catch (error) {
    if (signal.aborted) stop(reply, performance.now());
    else if (error instanceof APIError) fail(reply, error.message, performance.now(), error.status);
    else
      fail(
        reply,
        "The connection was lost while the reply was streaming. What had arrived is kept.",
        performance.now(),
        0,
      );
  }
  changed();
}

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @param {import("./lib/reply.js").Reply} reply
 * @param {() => void} changed
 */
async function readEvents(stream, reply, changed) {
  const splitter = new EventSplitter();
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const data of splitter.push(decoder.decode(value, { stream: true }))) {
      if (data !== DONE) takeChunk(reply, JSON.parse(data), performance.now());
    }
    changed();
  }
}

/**
 * Steer a running reply.
 *
 * @param {string} id
 * @param {number | null} until the new floor; null: answer now
 * @returns {Promise<string>} what came of it, in words
 */
export async function steer(id, until) {
  const json = until === null ? { action: "answer_now" } : { action: "think_until", min_thinking_tokens: until };
  try {
    const { choices } = await (
      await send(`v1/requests/${encodeURIComponent(id)}/thinking`, { method: "POST", json })
    ).json();
    return outcome(choices[0], until);
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    return error.status === 404 ? "Too late: the reply had ended." : error.message;
  }
}

/**
 * @param {{applied: boolean | null, phase: string, tokens: number}} choice
 * @param {number | null} until
 */
function outcome({ applied, phase, tokens }, until) {
  const wish = until === null ? "Answer now" : `Think on until ${until}`;
  if (applied === null) return `${wish}: takes effect with the next token.`;
  if (applied) return `${wish}: in effect from ${tokens} thinking tokens on.`;
  const reasons = /** @type {Record<string, string>} */ ({
    before: "the model has not begun to think",
    closing: "the end of the thinking was being written",
    answer: "the answer had begun",
    finished: "the reply had ended",
  });
  return `${wish}: no effect, ${reasons[phase] ?? phase}.`;
}
