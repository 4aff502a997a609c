// @ts-check
/** Accuracies, their intervals, and votes. */

const Z_95 = 1.959963984540054;

/**
 * Wilson's score interval for a proportion, 95 %; all of it where nothing was counted.
 *
 * @param {number} correct
 * @param {number} count
 * @returns {[number, number]}
 */
export function wilson(correct, count) {
  if (count === 0) return [0, 1];
  const share = correct / count;
  const spread = (Z_95 * Z_95) / count;
  const centre = (share + spread / 2) / (1 + spread);
  const half = (Z_95 / (1 + spread)) * Math.sqrt((share * (1 - share)) / count + spread / (4 * count));
  return [Math.max(0, Math.min(share, centre - half)), Math.min(1, Math.max(share, centre + half))];
}

/** @param {number[]} values */
export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** @typedef {{answer: string, correct: boolean, thinkingTokens: number}} Sample */
/** @typedef {{setting: number, accuracy: number, low: number, high: number, thinkingTokens: number, count: number}} Point */

/**
 * One setting's point: accuracy over its samples, with the interval.
 *
 * @param {number} setting
 * @param {Sample[]} samples
 * @returns {Point | null}
 */
export function pointOf(setting, samples) {
  if (!samples.length) return null;
  const correct = samples.filter((sample) => sample.correct).length;
  const [low, high] = wilson(correct, samples.length);
  return {
    setting,
    accuracy: correct / samples.length,
    low,
    high,
    thinkingTokens: mean(samples.map((sample) => sample.thinkingTokens)),
    count: samples.length,
  };
}

/**
 * The most frequent answer; of several, the one that came first.
 *
 * @param {Sample[]} samples at least one
 */
export function vote(samples) {
  /** @type {Map<string, {count: number, sample: Sample}>} */
  const counts = new Map();
  for (const sample of samples) {
    const entry = counts.get(sample.answer) ?? { count: 0, sample };
    entry.count += 1;
    counts.set(sample.answer, entry);
  }
  return [...counts.values()].reduce((best, entry) => (entry.count > best.count ? entry : best)).sample;
}

/**
 * The accuracy of a vote among the first `size` samples of each problem, and what these thought together.
 *
 * @param {number} size
 * @param {Sample[][]} problems the samples of each problem, in order; problems with fewer are left out
 * @returns {Point | null}
 */
export function votePoint(size, problems) {
  const complete = problems.filter((samples) => samples.length >= size).map((samples) => samples.slice(0, size));
  if (!complete.length) return null;
  const votes = complete.map((samples) => ({
    ...vote(samples),
    thinkingTokens: samples.reduce((sum, sample) => sum + sample.thinkingTokens, 0),
  }));
  return pointOf(size, votes);
}

/**
 * A list of numbers as a person writes it: `0, 1, 2 4`. Null where a part is no whole number from 0 up to a limit.
 *
 * @param {string} text
 * @param {number} most
 * @returns {number[] | null}
 */
export function parseList(text, most) {
  const parts = text.split(/[\s,;]+/).filter(Boolean);
  const numbers = parts.map(Number);
  const isValid = numbers.every((value, index) => /^\d+$/.test(parts[index]) && value <= most);
  return isValid ? [...new Set(numbers)].sort((one, other) => one - other) : null;
}
