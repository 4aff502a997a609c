// @ts-check
/** Forced texts as parts of the text that is shown. */

/** @typedef {import("./reply.js").ForcedSpan} ForcedSpan */
/** @typedef {{text: string, kind: "" | "wait" | "end" | "answer"}} Segment */
/** @typedef {{start: number, end: number, kind: "wait" | "end" | "answer"}} Range */

const SURROGATE = /[\ud800-\udbff][\udc00-\udfff]/;

/**
 * Where forced texts are in a model's thinking. A span whose text is not there is left out: nothing is marked by guess.
 *
 * @param {string} text
 * @param {ForcedSpan[]} spans offsets are in Unicode characters
 * @returns {Range[]} in UTF-16 units, in order, without overlaps
 */
export function ranges(text, spans) {
  if (!spans.some(({ text: forced }) => forced)) return [];
  const units = SURROGATE.test(text) ? unitOffsets(text) : null;
  /** @type {Range[]} */
  const found = [];
  let reached = 0;
  for (const { kind, start, text: forced } of [...spans].sort((one, other) => one.start - other.start)) {
    const at = units ? (units[start] ?? text.length) : start;
    if (kind === "answer" || !forced.trim() || at < reached || !text.startsWith(forced, at)) continue;
    reached = at + forced.length;
    found.push({ start: at, end: reached, kind });
  }
  return found;
}

/**
 * The UTF-16 offset of every Unicode character, and of the end.
 *
 * @param {string} text
 */
function unitOffsets(text) {
  /** @type {number[]} */
  const offsets = [];
  let at = 0;
  for (const character of text) {
    offsets.push(at);
    at += character.length;
  }
  return [...offsets, at];
}

/**
 * A piece of a text, cut where forced texts begin and end.
 *
 * @param {string} text
 * @param {Range[]} forced
 * @param {number} from
 * @param {number} to
 * @returns {Segment[]}
 */
export function segments(text, forced, from = 0, to = text.length) {
  /** @type {Segment[]} */
  const found = [];
  let at = from;
  for (const { start, end, kind } of forced) {
    if (end <= from || start >= to) continue;
    if (start > at) found.push({ text: text.slice(at, start), kind: "" });
    found.push({ text: text.slice(Math.max(start, from), Math.min(end, to)), kind });
    at = Math.min(end, to);
  }
  if (at < to) found.push({ text: text.slice(at, to), kind: "" });
  return found;
}

/**
 * Where the next block of a long text begins: at a line, once the block has enough characters. Layout then costs the
 * same for every token, however long the text is.
 *
 * @param {string} text
 * @param {number} from
 * @param {number} size
 * @returns {number | null} null while the last block is still growing
 */
export function nextBlock(text, from, size = 2000) {
  if (text.length - from < size) return null;
  const line = text.indexOf("\n", from + size);
  if (line !== -1) return line + 1;
  return text.length - from < 4 * size ? null : from + 4 * size;
}
