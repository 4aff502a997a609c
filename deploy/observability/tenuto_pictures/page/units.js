"use strict";
// Numbers as text, in the units that the boards use.

const SUFFIX = { reqps: " req/s", cps: "/s" };
const UNIT_NAMES = { short: "", s: "seconds", percentunit: "%", reqps: "requests per second", cps: "per second" };

/** Up to three significant digits, or a fixed number of decimals; without zeros at the end unless they were asked for. */
function digits(value, decimals) {
  if (decimals !== undefined && decimals !== null) return value.toFixed(decimals);
  const size = Math.abs(value);
  const places = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(size)));
  return String(Number(value.toFixed(places)));
}

function large(value, decimals) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${digits(value / 1e6)} M`;
  if (size >= 1e4) return `${digits(value / 1e3)} k`;
  return digits(value, decimals);
}

function seconds(value, decimals) {
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 1e-3) return `${digits(value * 1e6)} µs`;
  if (size < 1) return `${digits(value * 1e3, decimals)} ms`;
  if (size < 120) return `${digits(value, decimals)} s`;
  return size < 7200 ? `${digits(value / 60)} min` : `${digits(value / 3600)} h`;
}

function text(value, unit, decimals) {
  if (unit === "s") return seconds(value, decimals);
  if (unit === "percentunit") return `${digits(value * 100, decimals)}%`;
  return large(value, decimals) + (SUFFIX[unit] ?? "");
}

/** About `count` round numbers from `low` to `high`, both within. */
function ticks(low, high, count, unit) {
  const base = unit === "percentunit" ? 100 : 1;
  const rough = ((high - low) * base) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) / base;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) found.push(at);
  return { step, values: found };
}

function clock(time) {
  return new Date(time * 1000).toISOString().slice(11, 19);
}

/** Times of the clock between two, in round steps. */
function clockTicks(start, end, count) {
  const steps = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
  const step = steps.find((candidate) => (end - start) / candidate <= count) ?? 7200;
  const found = [];
  for (let at = Math.ceil(start / step) * step; at <= end; at += step) found.push(at);
  return found;
}
