"use strict";
// Draws a board: titles, rows, and each panel at its place in the grid of 24 columns.

const [WIDTH, UNIT, GAP] = [1248, 34, 6];
const DRAW = {
  stat: drawStat,
  timeseries: drawTimeseries,
  heatmap: drawHeatmap,
  barchart: drawBarchart,
  bargauge: drawBars,
  "state-timeline": drawStates,
};

function place(at) {
  const column = (WIDTH + GAP) / 24;
  const size = `width:${at.w * column - GAP}px;height:${at.h * UNIT - GAP}px`;
  return `left:${at.x * column}px;top:${at.y * UNIT}px;${size}`;
}

function drawBoard(board) {
  const root = element(document.body, "div", { id: "board" });
  const head = element(root, "header");
  element(head, "h1", {}, board.title);
  element(head, "p", {}, board.selection);
  const bottom = Math.max(...board.panels.map((panel) => panel.place.y + panel.place.h));
  const grid = element(root, "div", { id: "grid", style: `height:${bottom * UNIT}px` });
  for (const panel of board.panels) {
    if (panel.type === "row") {
      element(grid, "div", { class: "row", style: place(panel.place) }, panel.title);
      continue;
    }
    const box = element(grid, "section", { class: `panel ${panel.type}`, style: place(panel.place) });
    const title = element(box, "h2", {}, panel.title);
    const unit = UNIT_NAMES[panel.unit] ?? panel.unit;
    if (unit && panel.type !== "stat") element(title, "span", {}, `  ${unit}`);
    const body = element(box, "div", { class: "body" });
    if (panel.series.length) DRAW[panel.type](panel, body, box);
    else nothing(body, panel);
  }
}
