// @ts-check
/** Server-sent events of OpenAI's APIs, whatever pieces they arrive in. */

/** The data of the last event of a stream. */
export const DONE = "[DONE]";

/**
 * Splits a stream's text into the data of its events.
 *
 * Lines end in LF, CR LF or CR. Comments, which the server sends as keep-alives, have no data.
 */
export class EventSplitter {
  #rest = "";
  /** @type {string[]} */
  #data = [];

  /**
   * @param {string} text the next piece of the stream
   * @returns {string[]} the data of the events that are complete now
   */
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    /** @type {string[]} */
    const events = [];
    for (const line of lines) this.#take(line, events);
    return events;
  }

  /**
   * @param {string} line
   * @param {string[]} events
   */
  #take(line, events) {
    if (line === "") {
      if (this.#data.length) events.push(this.#data.join("\n"));
      this.#data = [];
    } else if (line.startsWith("data:")) {
      this.#data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  }
}
