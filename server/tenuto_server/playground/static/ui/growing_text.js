// @ts-check
/** A text that grows in an element, with forced parts marked in it. A token costs the same, however long the text is. */
import { nextBlock, ranges, segments } from "../lib/spans.js";

/** @typedef {import("../lib/reply.js").ForcedSpan} ForcedSpan */
/** @typedef {import("../lib/spans.js").Range} Range */
/** @typedef {{element: HTMLElement, from: number, to: number, forced: Range[]}} Block */

/**
 * Each block is laid out on its own. Those that are finished are not touched again, unless they get a mark, and a new
 * piece only extends the last node of the last block.
 */
export class GrowingText {
  /** @type {Block[]} */
  #blocks = [];
  /** @type {ForcedSpan | undefined} the last one that was marked */
  #last;
  #marked = 0;

  /** @param {HTMLElement} parent whose content it becomes */
  constructor(parent) {
    this.parent = parent;
    parent.replaceChildren();
  }

  /**
   * @param {string} text all of it; what was there stays as it is
   * @param {ForcedSpan[]} spans what was there, and more at the end; or another list
   */
  update(text, spans) {
    this.#lengthen(text);
    const isLonger = this.#marked === 0 || spans[this.#marked - 1] === this.#last;
    if (isLonger && spans.length === this.#marked) return;
    const fresh = ranges(text, spans.slice(isLonger ? this.#marked : 0));
    this.#marked = spans.length;
    this.#last = spans[spans.length - 1];
    if (isLonger) this.#mark(text, fresh);
    else this.#markAgain(text, fresh);
  }

  /** @param {string} text */
  #lengthen(text) {
    const first = text.search(/[^\n]/); // empty lines at the beginning are not shown
    if (first === -1) return;
    let block = this.#blocks[this.#blocks.length - 1] ?? this.#begin(first);
    for (;;) {
      const next = nextBlock(text, block.from);
      const to = next === null ? text.length : text[next - 1] === "\n" ? next - 1 : next; // a new block is a new line
      if (to > block.to) extend(block, text, to);
      if (next === null) return;
      block = this.#begin(next);
    }
  }

  /** @param {number} from */
  #begin(from) {
    const element = document.createElement("div");
    this.parent.append(element);
    const block = { element, from, to: from, forced: [] };
    this.#blocks.push(block);
    return block;
  }

  /**
   * @param {string} text
   * @param {Range[]} fresh
   */
  #mark(text, fresh) {
    for (let at = this.#blocks.length - 1; at >= 0 && fresh.length; at--) {
      const block = this.#blocks[at];
      const own = within(block, fresh);
      if (own.length) {
        block.forced.push(...own);
        rewrite(block, text);
      }
      if (fresh[0].start >= block.from) return;
    }
  }

  /**
   * @param {string} text
   * @param {Range[]} all
   */
  #markAgain(text, all) {
    for (const block of this.#blocks) {
      const own = within(block, all);
      const isSame =
        own.length === block.forced.length &&
        own.every(({ start, end }, index) => start === block.forced[index].start && end === block.forced[index].end);
      block.forced = own;
      if (!isSame) rewrite(block, text);
    }
  }
}

/**
 * @param {Block} block
 * @param {Range[]} forced
 */
function within(block, forced) {
  return forced.filter(({ start, end }) => end > block.from && start < block.to);
}

/**
 * @param {Block} block
 * @param {string} text
 * @param {number} to
 */
function extend(block, text, to) {
  const piece = text.slice(block.to, to);
  const last = block.element.lastChild;
  if (last instanceof Text) last.appendData(piece);
  else block.element.append(piece);
  block.to = to;
}

/**
 * @param {Block} block
 * @param {string} text
 */
function rewrite(block, text) {
  const parts = segments(text, block.forced, block.from, block.to);
  block.element.replaceChildren(...parts.map(({ text: part, kind }) => (kind ? mark(part, kind) : part)));
}

/**
 * @param {string} text
 * @param {string} kind
 */
function mark(text, kind) {
  const element = document.createElement("mark");
  element.className = `forced ${kind}`;
  element.title =
    kind === "wait" ? "Forced: the model tried to stop here" : "Forced: written by the server to close the thinking";
  element.textContent = text;
  return element;
}
