// @ts-check
/** A scaling run: every problem at every setting, and the curves that its results make. */
import { extractAnswer, isCorrect } from "./problems.js";
import { pointOf, votePoint } from "./statistics.js";

/** @typedef {import("./problems.js").Problem} Problem */
/** @typedef {import("./statistics.js").Sample} Sample */
/** @typedef {import("./statistics.js").Point} Point */
/** @typedef {import("./budget.js").Budget} Budget */
/** @typedef {"waits" | "caps" | "votes"} Method */
/** @typedef {{problem: number, method: Method, setting: number, budget: Budget}} Task setting: of votes, the sample's number */
/** @typedef {{waits: number[], caps: number[], votes: number[]}} Settings votes: how many samples vote */
/** @typedef {Task & Sample & {reply: string}} Result */

/** A vote needs samples that differ. */
export const VOTE_TEMPERATURE = 0.8;

/**
 * All requests, problem by problem, so that every curve grows at the same time.
 *
 * @param {number} problems
 * @param {Settings} settings
 * @param {Budget} base the fields that are not varied
 * @returns {Task[]}
 */
export function tasks(problems, settings, base) {
  const {
    max_thinking_tokens: _cap,
    min_thinking_tokens: _floor,
    num_waits: _waits,
    reasoning_effort: _effort,
    landing_tokens: _landing,
    ...rest
  } = base;
  const greedy = { temperature: 0, ...rest };
  const sampled = { ...rest, temperature: rest.temperature || VOTE_TEMPERATURE };
  const samples = Math.max(0, ...settings.votes);
  /** @type {Task[]} */
  const all = [];
  for (let problem = 0; problem < problems; problem++) {
    for (const setting of settings.waits)
      all.push({ problem, method: "waits", setting, budget: { ...greedy, num_waits: setting } });
    for (const setting of settings.caps)
      all.push({ problem, method: "caps", setting, budget: { ...greedy, max_thinking_tokens: setting } });
    for (let setting = 1; setting <= samples; setting++)
      all.push({ problem, method: "votes", setting, budget: sampled });
  }
  return all;
}

/**
 * @param {Task} task
 * @param {Problem} problem
 * @param {any} completion the server's response
 * @returns {Result}
 */
export function resultOf(task, problem, completion) {
  const { message, thinking } = completion.choices[0];
  const answer = extractAnswer(message.content ?? "");
  return {
    ...task,
    reply: message.content ?? "",
    answer,
    correct: isCorrect(answer, problem.answer),
    thinkingTokens: thinking?.tokens ?? completion.usage?.completion_tokens_details?.reasoning_tokens ?? 0,
  };
}

/**
 * The points of each curve that has any.
 *
 * @param {Result[]} results
 * @param {Settings} settings
 * @returns {{method: Method, points: Point[]}[]}
 */
export function curves(results, settings) {
  const of = (/** @type {Method} */ method) => results.filter((result) => result.method === method);
  const waits = of("waits");
  const caps = of("caps");
  const votes = byProblem(of("votes"));
  return [
    {
      method: /** @type {const} */ ("waits"),
      points: compact(
        settings.waits.map((setting) =>
          pointOf(
            setting,
            waits.filter((each) => each.setting === setting),
          ),
        ),
      ),
    },
    {
      method: /** @type {const} */ ("caps"),
      points: compact(
        settings.caps.map((setting) =>
          pointOf(
            setting,
            caps.filter((each) => each.setting === setting),
          ),
        ),
      ),
    },
    { method: /** @type {const} */ ("votes"), points: compact(settings.votes.map((size) => votePoint(size, votes))) },
  ];
}

/**
 * The samples of each problem, by their number.
 *
 * @param {Result[]} results
 * @returns {Result[][]}
 */
function byProblem(results) {
  /** @type {Map<number, Result[]>} */
  const groups = new Map();
  for (const result of results) groups.set(result.problem, [...(groups.get(result.problem) ?? []), result]);
  return [...groups.values()].map((group) => group.sort((one, other) => one.setting - other.setting));
}

/**
 * @template T
 * @param {(T | null)[]} values
 * @returns {T[]}
 */
function compact(values) {
  return /** @type {T[]} */ (values.filter((value) => value !== null));
}
