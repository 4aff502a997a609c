// @ts-check
/** The text of a model's thinking, as plain text that grows in place. */
import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import { GrowingText } from "./growing_text.js";

/** How close to the end a reader still follows it, in pixels. */
const NEAR = 32;

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
      text.update(live.reply.reasoning, live.reply.forced);
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
  return html`<div class=${`thinking-text${isFull ? " full" : ""}`} ref=${box} tabindex="0" role="group"
    aria-label="Thinking" dir="auto"><div ref=${inner}></div></div>`;
}
