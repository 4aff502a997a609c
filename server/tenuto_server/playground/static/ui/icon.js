// @ts-check
/** Icons, drawn with lines of the text's colour. */
import { html } from "../vendor/htm-preact.js";

const PATHS = /** @type {Record<string, string>} */ ({
  mark: "M5 7h14 M12 17m-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0",
  list: "M4 6h16 M4 12h16 M4 18h10",
  sliders:
    "M4 7h9 M17 7h3 M4 17h3 M11 17h9 M15 7m-2 0a2 2 0 1 0 4 0a2 2 0 1 0 -4 0 M9 17m-2 0a2 2 0 1 0 4 0a2 2 0 1 0 -4 0",
  plus: "M12 5v14 M5 12h14",
  edit: "M4 20h4L19 9l-4-4L4 16z",
  again: "M4 12a8 8 0 0 1 14-5l2 2 M20 4v5h-5 M20 12a8 8 0 0 1-14 5l-2-2 M4 20v-5h5",
  copy: "M9 9h10v10H9z M5 15V5h10",
  code: "M8 7l-5 5 5 5 M16 7l5 5-5 5",
  trash: "M5 7h14 M9 7V4h6v3 M7 7l1 13h8l1-13",
  left: "M15 6l-6 6 6 6",
  right: "M9 6l6 6-6 6",
  down: "M6 9l6 6 6-6",
  send: "M12 19V5 M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  download: "M12 4v11 M7 11l5 5 5-5 M5 20h14",
  upload: "M12 16V5 M7 9l5-5 5 5 M5 20h14",
  close: "M6 6l12 12 M18 6L6 18",
  "theme-system": "M4 5h16v11H4z M9 20h6",
  "theme-light":
    "M12 12m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0 M12 3v2 M12 19v2 M3 12h2 M19 12h2 M5.6 5.6l1.4 1.4 M17 17l1.4 1.4 M5.6 18.4L7 17 M17 7l1.4-1.4",
  "theme-dark": "M19 14a7.5 7.5 0 1 1-9-9 6 6 0 0 0 9 9z",
});

/** @param {{name: string}} props */
export function Icon({ name }) {
  return html`<svg class="glyph" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path
    d=${PATHS[name]} /></svg>`;
}
