// @ts-check
import { useEffect, useState } from "../vendor/htm-preact.js";

/** How often the numbers of a running reply are shown anew, in milliseconds. */
const EVERY = 100;

/**
 * Render a component again while a reply changes: at most every 100 ms, and at once when its status changes.
 *
 * @param {import("../replies.js").Live} live
 */
export function useLive(live) {
  const [, again] = useState(0);
  useEffect(() => {
    let status = live.reply.status;
    let timer = 0;
    const refresh = () => {
      clearTimeout(timer);
      timer = 0;
      status = live.reply.status;
      again((/** @type {number} */ count) => count + 1);
    };
    const end = live.follow(() => {
      if (live.reply.status !== status) refresh();
      else timer ||= setTimeout(refresh, EVERY);
    });
    const clock = setInterval(() => live.isRunning && refresh(), EVERY);
    refresh();
    return () => {
      end();
      clearTimeout(timer);
      clearInterval(clock);
    };
  }, [live]);
}

/**
 * Render a component again only when the status of a reply changes.
 *
 * @param {import("../replies.js").Live} live
 */
export function useStatus(live) {
  const [, setStatus] = useState(live.reply.status);
  useEffect(() => {
    setStatus(live.reply.status);
    return live.follow(() => setStatus(live.reply.status));
  }, [live]);
}
