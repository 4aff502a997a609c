"use strict";
// Panels with axes: lines over time, areas and bars on top of each other, bars for each bound of a histogram.

function yTop(panel, series) {
  const highest = Math.max(...series.flatMap((each) => each.points.map((point) => point[1])), 0);
  const enough = highest === 0 ? 1 : highest * 1.06;
  return panel.max === null ? enough : Math.max(panel.max, highest);
}

/** Points without the gaps between them: a gap is longer than 2.5 steps. */
function pieces(points, step) {
  const found = [];
  points.forEach((point, index) => {
    if (index === 0 || point[0] - points[index - 1][0] > 2.5 * step) found.push([]);
    found.at(-1).push(point);
  });
  return found;
}

function path(points, x, y) {
  return points.map(([at, value], index) => `${index ? "L" : "M"}${x(at).toFixed(1)},${y(value).toFixed(1)}`).join("");
}

/** Each series on top of those before it: the points at its lower and at its upper edge. */
function stacked(series) {
  const sums = new Map();
  return series.map((each) => ({
    ...each,
    lower: each.points.map(([at]) => [at, sums.get(at) ?? 0]),
    points: each.points.map(([at, value]) => {
      sums.set(at, (sums.get(at) ?? 0) + value);
      return [at, sums.get(at)];
    }),
  }));
}

function area(upper, lower, x, y) {
  const back = [...lower].reverse();
  return `${path(upper, x, y)}${path(back, x, y).replace("M", "L")}Z`;
}

/** A bar at each point, from the edge of the one below. */
function drawSticks(plot, series, { x, y, stroke, width }) {
  series.points.forEach(([at, value], index) => {
    const bottom = y(series.lower[index][1]);
    const left = Math.max(x(at) - width / 2, plot.left);
    shape(plot.svg, "rect", { x: left, y: y(value), width, height: bottom - y(value), fill: stroke });
  });
}

function drawTimeseries(panel, body, box) {
  legend(panel, box);
  const shown = panel.stacked ? stacked(panel.series) : panel.series;
  const plot = frame(body, 56);
  const y = yAxis(plot, 0, yTop(panel, shown), panel.unit);
  const x = timeAxis(plot, panel.start, panel.end);
  shown.forEach((series, index) => {
    const stroke = COLORS[index % COLORS.length];
    if (panel.bars) {
      drawSticks(plot, series, { x, y, stroke, width: (x(panel.step) - x(0)) * 0.8 });
      return;
    }
    if (panel.stacked) {
      shape(plot.svg, "path", { d: area(series.points, series.lower, x, y), fill: stroke, "fill-opacity": 0.35 });
    }
    for (const piece of pieces(series.points, panel.step)) {
      if (piece.length === 1) shape(plot.svg, "circle", { cx: x(piece[0][0]), cy: y(piece[0][1]), r: 2, fill: stroke });
      shape(plot.svg, "path", { d: path(piece, x, y), fill: "none", stroke, "stroke-width": 1.6, "stroke-linejoin": "round" });
    }
  });
}

/** A bar for each series and bound; the bounds have equal distances. */
function drawBarchart(panel, body, box) {
  legend(panel, box);
  const plot = frame(body, 56);
  const y = yAxis(plot, 0, yTop(panel, panel.series), panel.unit);
  const bounds = [...new Set(panel.series.flatMap((series) => series.points.map((point) => point[0])))];
  bounds.sort((one, other) => one - other);
  const group = (plot.right - plot.left) / bounds.length;
  const width = (group * 0.8) / panel.series.length;
  bounds.forEach((bound, index) => {
    const middle = plot.left + (index + 0.5) * group;
    shape(plot.svg, "text", { x: middle, y: plot.bottom + 13, "text-anchor": "middle" }, large(bound));
  });
  panel.series.forEach((series, index) => {
    const fill = COLORS[index % COLORS.length];
    for (const [bound, value] of series.points) {
      const x = plot.left + bounds.indexOf(bound) * group + group * 0.1 + index * width;
      shape(plot.svg, "rect", { x, y: y(value), width: width - 1, height: plot.bottom - y(value), fill });
    }
  });
}
