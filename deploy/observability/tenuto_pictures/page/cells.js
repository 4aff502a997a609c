"use strict";
// Panels without lines: large numbers, bars, heatmaps, states over time.

function stateOf(panel, value) {
  return panel.states.find((state) => state.value === value);
}

function threshold(panel, value) {
  const reached = panel.thresholds.filter((step) => step.from === null || value >= step.from);
  return color(reached.at(-1)?.color ?? "text");
}

/** The largest font in which a text of that length fits. */
function fitting(width, height, length) {
  return Math.round(Math.max(13, Math.min(height, width / (length * 0.72), 54)));
}

/** Names above numbers next to each other; where these are narrow, names in front of numbers, one per line. */
function drawStat(panel, body) {
  const count = panel.series.length;
  const narrow = count > 1 && body.clientWidth / count < 105;
  const list = element(body, "div", { class: narrow ? "stats lines" : "stats" });
  const shown = panel.series.map((series) => {
    const value = series.points.at(-1)[1];
    const state = stateOf(panel, value);
    return { name: series.name, value, text: state?.text ?? text(value, panel.unit, panel.decimals), state };
  });
  const longest = Math.max(...shown.map((each) => each.text.length));
  const width = narrow ? body.clientWidth * 0.62 : body.clientWidth / count - 14;
  const height = narrow ? (body.clientHeight / count) * 0.6 : body.clientHeight * (shown[0].name ? 0.5 : 0.62);
  const size = fitting(width, height, longest);
  for (const each of shown) {
    const paint = each.state ? color(each.state.color) : threshold(panel, each.value);
    const cell = element(list, "div", panel.filled ? { class: "filled", style: `background:${paint}` } : {});
    if (each.name) element(cell, "small", {}, each.name);
    element(cell, "strong", { style: `font-size:${size}px;${panel.filled ? "" : `color:${paint}`}` }, each.text);
  }
}

function drawBars(panel, body) {
  const list = element(body, "div", { class: "bars" });
  const highest = Math.max(...panel.series.map((series) => series.points.at(-1)[1])) || 1;
  panel.series.forEach((series, index) => {
    const value = series.points.at(-1)[1];
    element(list, "span", {}, series.name);
    const bar = element(list, "div");
    element(bar, "i", { style: `width:${(value / highest) * 100}%;background:${COLORS[panel.groups[index] % COLORS.length]}` });
    element(list, "span", {}, text(value, panel.unit, panel.decimals));
  });
}

/** White to dark orange, for 0 to 1. */
function heat(share) {
  const stops = [[255, 245, 232], [253, 190, 120], [241, 105, 19], [140, 45, 4]];
  const at = Math.min(share, 0.9999) * (stops.length - 1);
  const [from, to] = [stops[Math.floor(at)], stops[Math.floor(at) + 1]];
  return `rgb(${from.map((value, index) => Math.round(value + (to[index] - value) * (at % 1))).join(",")})`;
}

function heatLegend(box, highest) {
  const list = element(box, "div", { class: "legend" });
  const bar = Array.from({ length: 8 }, (_, index) => heat(index / 7)).join(",");
  const item = element(list, "span");
  element(item, "i", { style: `width:90px;height:8px;margin-bottom:0;background:linear-gradient(90deg,${bar})` });
  item.append(`0 to ${digits(highest)} choices per second in a cell`);
}

function drawHeatmap(panel, body, box) {
  const highest = Math.max(...panel.series.flatMap((row) => row.points.map((point) => point[1])));
  heatLegend(box, highest);
  const plot = frame(body, 62);
  const x = timeAxis(plot, panel.start, panel.end);
  const height = (plot.bottom - plot.top) / panel.series.length;
  const every = Math.ceil(13 / height);
  panel.series.forEach((row, index) => {
    const y = plot.bottom - (index + 1) * height;
    if (index % every === 0) {
      shape(plot.svg, "text", { x: plot.left - 5, y: y + height / 2 + 3.5, "text-anchor": "end" }, row.name);
    }
    for (const [at, value] of row.points.filter((point) => point[1] > 1e-9)) {
      const left = Math.max(x(at - panel.step), plot.left);
      const fill = heat(Math.sqrt(value / highest));
      shape(plot.svg, "rect", { x: left, y: y + 0.5, width: Math.max(x(at) - left - 0.5, 0.5), height: height - 1, fill });
    }
  });
}

function drawStates(panel, body) {
  const plot = frame(body, 8 + 7 * Math.max(...panel.series.map((series) => series.name.length)));
  const x = timeAxis(plot, panel.start, panel.end);
  const height = (plot.bottom - plot.top) / panel.series.length;
  panel.series.forEach((series, index) => {
    const y = plot.top + index * height;
    shape(plot.svg, "text", { x: plot.left - 7, y: y + height / 2 + 4, "text-anchor": "end" }, series.name);
    for (const run of runs(series.points, panel.end)) {
      const state = stateOf(panel, run.value);
      const [left, right] = [x(run.start), x(run.end)];
      const fill = color(state?.color ?? "text");
      shape(plot.svg, "rect", { x: left, y: y + height * 0.1, width: right - left, height: height * 0.8, rx: 3, fill });
      if (right - left > 55) {
        const middle = { x: (left + right) / 2, y: y + height / 2 + 4, "text-anchor": "middle", style: "fill:#fff" };
        shape(plot.svg, "text", middle, state?.text ?? String(run.value));
      }
    }
  });
}

/** Stretches of equal values. */
function runs(points, end) {
  const found = [];
  for (const [at, value] of points) {
    if (found.at(-1)?.value !== value) found.push({ start: at, value });
  }
  return found.map((run, index) => ({ ...run, end: found[index + 1]?.start ?? end }));
}
