"use strict";
// SVG and HTML elements, colours, and the frame of a chart.

const MANY = 6;
const COLORS = ["#3c78c8", "#e0872b", "#38a169", "#b5508f", "#7a63c7", "#2aa5a5", "#c9a227", "#d65f5f", "#5b6b82", "#8a5a3b"];

/** One of Grafana's names as a colour of the page's. */
function color(name) {
  return `var(--${name.replace(/^(semi-dark|light|super-light)-/, "")})`;
}

function element(parent, name, attributes = {}, content = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = content;
  parent.append(made);
  return made;
}

function shape(parent, name, attributes = {}, content = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (content) made.textContent = content;
  parent.append(made);
  return made;
}

function nothing(body, panel) {
  element(body, "div", { class: "nothing" }, panel.empty);
}

/** A line per series: its colour, its name, and its last value where the panel shows one; of many, only those above 0. */
function legend(panel, box) {
  const list = element(box, "div", { class: "legend" });
  panel.series.forEach((series, index) => {
    if (panel.series.length > MANY && !series.points.some((point) => point[1])) return;
    const item = element(list, "span");
    element(item, "i", { style: `background:${COLORS[index % COLORS.length]}` });
    item.append(series.name);
    if (panel.legendValues && series.points.length) {
      element(item, "b", {}, text(series.points.at(-1)[1], panel.unit, panel.decimals));
    }
  });
}

/** An SVG that fills the body, with room for the labels of the axes. */
function frame(body, left) {
  const [width, height] = [body.clientWidth, body.clientHeight];
  const svg = shape(body, "svg", { width, height });
  return { svg, left, top: 6, right: width - 8, bottom: height - 18 };
}

function scale(from, to, start, end) {
  return (value) => start + ((value - from) / (to - from || 1)) * (end - start);
}

/** Grid lines and labels of the y axis; the scale from values to pixels. */
function yAxis(plot, low, high, unit) {
  const { step, values } = ticks(low, high, Math.max(2, Math.floor((plot.bottom - plot.top) / 28)), unit);
  const y = scale(low, high, plot.bottom, plot.top);
  const shown = unit === "percentunit" ? step * 100 : step;
  const decimals = unit === "s" || shown >= 1 ? undefined : Math.min(4, Math.ceil(-Math.log10(shown) - 1e-9));
  for (const value of values) {
    shape(plot.svg, "line", { class: "grid", x1: plot.left, x2: plot.right, y1: y(value), y2: y(value) });
    shape(plot.svg, "text", { x: plot.left - 5, y: y(value) + 3.5, "text-anchor": "end" }, text(value, unit, decimals));
  }
  return y;
}

function timeAxis(plot, start, end) {
  const x = scale(start, end, plot.left, plot.right);
  for (const time of clockTicks(start, end, Math.max(2, Math.floor((plot.right - plot.left) / 62)))) {
    shape(plot.svg, "line", { class: "grid", x1: x(time), x2: x(time), y1: plot.top, y2: plot.bottom });
    const at = Math.min(Math.max(x(time), plot.left + 20), plot.right - 20);
    shape(plot.svg, "text", { x: at, y: plot.bottom + 13, "text-anchor": "middle" }, clock(time));
  }
  return x;
}
