// @ts-check
/** Accuracy against thinking tokens: a line per method, each point with its interval. */
import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import Plot from "../vendor/uplot.js";
import { useStore } from "../store.js";

/** @typedef {{method: import("../lib/sweep.js").Method, points: import("../lib/statistics.js").Point[]}} Curve */

export const NAMES = /** @type {Record<string, string>} */ ({ waits: "Waits", caps: "Caps", votes: "Vote" });
const HEIGHT = 340;
const FONT = "12px system-ui, sans-serif";

/** @param {string} name of a custom property of the style sheet */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * @param {Curve[]} curves
 * @returns {any} uPlot's data: all x values, and each curve's y values where it has them
 */
function dataOf(curves) {
  return Plot.join(
    curves.map(({ points }) => {
      const sorted = [...points].sort((one, other) => one.thinkingTokens - other.thinkingTokens);
      return [sorted.map((point) => point.thinkingTokens), sorted.map((point) => 100 * point.accuracy)];
    }),
  );
}

/**
 * @param {any} plot
 * @param {Curve[]} curves
 */
function drawIntervals(plot, curves) {
  const { ctx } = plot;
  ctx.save();
  ctx.lineWidth = 1.5 * devicePixelRatio;
  for (const { method, points } of curves) {
    ctx.strokeStyle = `${colour(`--${method}`)}`;
    ctx.globalAlpha = 0.45;
    for (const { thinkingTokens, low, high } of points) {
      const x = plot.valToPos(thinkingTokens, "x", true);
      ctx.beginPath();
      ctx.moveTo(x, plot.valToPos(100 * low, "y", true));
      ctx.lineTo(x, plot.valToPos(100 * high, "y", true));
      ctx.stroke();
    }
  }
  ctx.restore();
}

/** @param {{curves: Curve[], onPlot: (plot: any) => void}} props onPlot: given the chart, for its picture */
export function Chart({ curves, onPlot }) {
  const place = /** @type {{current: HTMLElement}} */ (useRef(null));
  const plot = /** @type {{current: any}} */ (useRef(null));
  const latest = useRef(curves);
  latest.current = curves;
  const theme = useStore((state) => state.preferences.theme);
  useEffect(() => {
    const axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      font: FONT,
      labelFont: FONT,
      labelSize: 22,
    };
    const series = latest.current.map(({ method }) => ({
      label: NAMES[method],
      stroke: colour(`--${method}`),
      width: 2,
      spanGaps: true,
      points: { show: true, size: 8, fill: colour(`--${method}`) },
    }));
    const options = {
      width: place.current.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      padding: [16, 24, 0, 0],
      scales: {
        x: {
          time: false,
          range: (/** @type {any} */ _, /** @type {number} */ _low, /** @type {number} */ high) => [
            0,
            Math.max(high * 1.06, 10),
          ],
        },
        y: { range: [0, 100] },
      },
      axes: [
        { ...axis, size: 34, label: "Thinking tokens per question" },
        { ...axis, label: "Correct, %", size: 44 },
      ],
      series: [{}, ...series],
      hooks: { draw: [(/** @type {any} */ drawn) => drawIntervals(drawn, latest.current)] },
    };
    plot.current = new Plot(options, dataOf(latest.current), place.current);
    onPlot(plot.current);
    const observer = new ResizeObserver(() =>
      plot.current.setSize({ width: place.current.clientWidth, height: HEIGHT }),
    );
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      plot.current.destroy();
    };
  }, [theme]);
  useEffect(() => {
    plot.current?.setData(dataOf(curves));
  }, [curves]);
  return html`<div class="chart" ref=${place} role="img"
    aria-label="Accuracy against thinking tokens; the table below has the numbers"></div>`;
}

/**
 * The chart as a picture, with a title and a legend.
 *
 * @param {any} plot
 * @param {string} title
 * @param {Curve[]} curves
 * @returns {Promise<Blob>}
 */
export function picture(plot, title, curves) {
  const source = /** @type {HTMLCanvasElement} */ (plot.ctx.canvas);
  const ratio = devicePixelRatio;
  const head = 56 * ratio;
  const canvas = document.createElement("canvas");
  canvas.width = source.width;
  canvas.height = source.height + head;
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.fillStyle = colour("--paper");
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.drawImage(source, 0, head);
  ctx.fillStyle = colour("--ink");
  ctx.font = `600 ${14 * ratio}px system-ui, sans-serif`;
  ctx.fillText(title, 16 * ratio, 24 * ratio);
  ctx.font = `${12 * ratio}px system-ui, sans-serif`;
  let x = 16 * ratio;
  for (const { method, points } of curves) {
    if (!points.length) continue;
    ctx.fillStyle = colour(`--${method}`);
    ctx.fillRect(x, 40 * ratio, 12 * ratio, 4 * ratio);
    ctx.fillStyle = colour("--ink");
    ctx.fillText(NAMES[method], x + 18 * ratio, 46 * ratio);
    x += 40 * ratio + ctx.measureText(NAMES[method]).width;
  }
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(/** @type {Blob} */ (blob)), "image/png"));
}
