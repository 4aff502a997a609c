// @ts-check
/** An answer as Markdown with mathematics. HTML in it is shown as text, and nothing is loaded from elsewhere. */
import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import { Marked } from "../vendor/marked.js";
import purifier from "../vendor/purify.js";

const BLOCK = [/^\$\$([\s\S]+?)\$\$/, /^\\\[([\s\S]+?)\\\]/];
const INLINE = [/^\\\(([\s\S]+?)\\\)/, /^\$(?![\s$])((?:\\.|[^$\\\n])*?[^\s$\\])\$(?!\d)/];

/** @type {any} set once its script is loaded */
let katex = null;

/** @param {string} text */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/**
 * @param {string} name
 * @param {RegExp[]} patterns
 * @param {boolean} isBlock
 */
function mathExtension(name, patterns, isBlock) {
  return {
    name,
    level: isBlock ? "block" : "inline",
    start: (/** @type {string} */ text) => text.match(isBlock ? /\$\$|\\\[/ : /\$|\\\(/)?.index,
    tokenizer(/** @type {string} */ text) {
      for (const pattern of patterns) {
        const match = pattern.exec(text);
        if (match) return { type: name, raw: match[0], text: match[1] };
      }
      return undefined;
    },
    renderer: (/** @type {any} */ token) => `<span class="math" data-block="${isBlock}">${escaped(token.text)}</span>`,
  };
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  extensions: /** @type {any} */ ([
    mathExtension("blockMath", BLOCK, true),
    mathExtension("displayMath", BLOCK, false),
    mathExtension("inlineMath", INLINE, false),
  ]),
  renderer: {
    html: (/** @type {any} */ token) => escaped(token.text),
    image: (/** @type {any} */ token) => escaped(token.raw),
  },
});

const ALLOWED = {
  USE_PROFILES: { html: true },
  FORBID_TAGS: ["img", "style", "form", "video", "audio", "picture"],
  FORBID_ATTR: ["style"],
  ADD_ATTR: ["target"],
};

/**
 * @param {string} text
 * @returns {string} harmless HTML
 */
export function toHtml(text) {
  return purifier.sanitize(/** @type {string} */ (marked.parse(text)), ALLOWED);
}

/** @param {HTMLElement} element */
async function drawMath(element) {
  const places = /** @type {HTMLElement[]} */ ([...element.querySelectorAll("span.math")]);
  if (!places.length) return;
  if (!katex) {
    await import("../vendor/katex.js");
    katex = /** @type {any} */ (globalThis).katex;
  }
  for (const place of places) {
    const source = place.textContent ?? "";
    try {
      const options = {
        output: "mathml",
        throwOnError: true,
        displayMode: place.dataset.block === "true",
        maxExpand: 1000,
      };
      place.innerHTML = katex.renderToString(source, options).replaceAll(/ style="[^"]*"/g, "");
    } catch {
      place.textContent = source; // It is no formula that KaTeX knows.
    }
  }
}

/** @param {HTMLElement} element */
function openLinksElsewhere(element) {
  for (const link of element.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
}

/**
 * While a reply streams, its Markdown is parsed at intervals that grow with the time that parsing takes.
 */
const LEAST_PAUSE = 80;
const PAUSE_PER_PARSE = 8;

/** @param {{live: import("../replies.js").Live, strip: string}} props strip: a forced beginning that is shown on its own */
export function Answer({ live, strip }) {
  const place = /** @type {{current: HTMLElement}} */ (useRef(null));
  useEffect(() => {
    let timer = 0;
    let pause = LEAST_PAUSE;
    let shown = "";
    const draw = () => {
      timer = 0;
      const { content } = live.reply;
      const text = content.startsWith(strip) ? content.slice(strip.length) : content;
      if (text === shown) return;
      shown = text;
      const began = performance.now();
      place.current.innerHTML = toHtml(text);
      openLinksElsewhere(place.current);
      drawMath(place.current);
      pause = Math.max(LEAST_PAUSE, PAUSE_PER_PARSE * (performance.now() - began));
    };
    draw();
    const end = live.follow(() => {
      if (live.isRunning) timer ||= setTimeout(draw, pause);
      else {
        clearTimeout(timer);
        draw();
      }
    });
    return () => {
      end();
      clearTimeout(timer);
    };
  }, [live, strip]);
  return html`<div class="markdown" ref=${place} dir="auto"></div>`;
}
