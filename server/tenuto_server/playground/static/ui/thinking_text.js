// @ts-check
/** The text of a model's thinking, as plain text that grows in place. */
import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import { nextBlock, ranges, segments } from "../lib/spans.js";

/** How close to the end a reader still follows it, in pixels. */
const NEAR = 32;

/**
 * Writes a growing text into an element: blocks that are finished are never touched again, and a new piece only extends
 * the last node, so that a token costs the same at any length.
 */
class GrowingText {
  /** @type {{element: HTMLElement, from: number, to: number, marks: string}[]} */
  #blocks = [];

  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.parent = parent;
    parent.replaceChildren();
  }

  /**
   * @param {string} text all of it; what was there stays as it is
   * @param {import("../lib/reply.js").ForcedSpan[]} spans
   */
  update(text, spans) {
    const forced = ranges(text, spans);
    this.#lengthen(text);
    for (const block of this.#blocks) {
      const own = forced.filter(({ start, end }) => end > block.from && start < block.to);
      const marks = own.map(({ start, end, kind }) => `${start}-${end}${kind}`).join();
      if (marks !== block.marks) {
        block.marks = marks;
        this.#rewrite(block, segments(text, own, block.from, block.to));
      }
    }
  }

  /** @param {string} text */
  #lengthen(text) {
    const first = text.search(/[^\n]/); // empty lines at the beginning are not shown
    if (first === -1) return;
    let block = this.#blocks[this.#blocks.length - 1] ?? this.#begin(first);
    for (;;) {
      const next = nextBlock(text, block.from);
      const to = next ?? text.length;
      if (to > block.to) this.#extend(block, text.slice(block.to, to), to);
      if (next === null) return;
      block = this.#begin(next);
    }
  }

  /** @param {number} from */
  #begin(from) {
    const element = document.createElement("span");
    this.parent.append(element);
    const block = { element, from, to: from, marks: "" };
    this.#blocks.push(block);
    return block;
  }

  /**
   * @param {{element: HTMLElement, to: number}} block
   * @param {string} piece
   * @param {number} to
   */
  #extend(block, piece, to) {
    const last = block.element.lastChild;
    if (last instanceof Text) last.appendData(piece);
    else block.element.append(piece);
    block.to = to;
  }

  /**
   * @param {{element: HTMLElement}} block
   * @param {import("../lib/spans.js").Segment[]} parts
   */
  #rewrite(block, parts) {
    block.element.replaceChildren(...parts.map(({ text, kind }) => (kind ? mark(text, kind) : text)));
  }
}

/**
 * @param {string} text
 * @param {string} kind
 */
function mark(text, kind) {
  const element = document.createElement("mark");
  element.className = `forced ${kind}`;
  element.title = kind === "wait" ? "Forced: the model tried to stop here" : "Forced: written by the server to close the thinking";
  element.textContent = text;
  return element;
}

/**
 * @param {{live: import("../replies.js").Live, isFull: boolean}} props
 */
export function ThinkingText({ live, isFull }) {
  const box = /** @type {{current: HTMLElement}} */ (useRef(null));
  const inner = /** @type {{current: HTMLElement}} */ (useRef(null));
  useEffect(() => {
    const text = new GrowingText(inner.current);
    let follows = live.isRunning;
    let frame = 0;
    const draw = () => {
      frame = 0;
      text.update(live.reply.reasoning, live.reply.forced.filter((span) => span.kind !== "answer"));
      if (follows && !isFull) box.current.scrollTop = 1e9;
    };
    const onScroll = () => {
      const { scrollHeight, scrollTop, clientHeight } = box.current;
      follows = live.isRunning && scrollHeight - scrollTop - clientHeight < NEAR;
    };
    draw();
    const end = live.follow(() => {
      frame ||= requestAnimationFrame(draw);
    });
    box.current.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      end();
      cancelAnimationFrame(frame);
      box.current?.removeEventListener("scroll", onScroll);
    };
  }, [live, isFull]);
  return html`<div class=${`thinking-text${isFull ? " full" : ""}`} ref=${box} tabindex="0" role="group" aria-label="Thinking" dir="auto"><div ref=${inner}></div></div>`;
}
