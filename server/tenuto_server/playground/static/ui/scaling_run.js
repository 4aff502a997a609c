// @ts-check
/** Runs a scaling experiment against the server: several requests at a time, until it is stopped. */
import { APIError, send } from "../api.js";
import { requestBody } from "../lib/budget.js";
import { curves, resultOf, tasks } from "../lib/sweep.js";

/** @typedef {import("../lib/problems.js").Problem} Problem */
/** @typedef {import("../lib/sweep.js").Settings} Settings */

const AT_ONCE = 8;
const RETRY_AFTER = 2000;
const MOST_FAILURES = 5;

export class ScalingRun {
  /** @type {import("../lib/sweep.js").Result[]} */
  results = [];
  /** @type {string[]} */
  failures = [];
  /** @type {"running" | "stopped" | "done"} */
  status = "running";
  #controller = new AbortController();

  /**
   * @param {string} model
   * @param {string} name of the set of problems
   * @param {Problem[]} problems
   * @param {Settings} settings
   * @param {import("../lib/budget.js").Budget} base
   */
  constructor(model, name, problems, settings, base) {
    this.model = model;
    this.name = name;
    this.problems = problems;
    this.settings = settings;
    this.base = base;
    this.tasks = tasks(problems.length, settings, base);
  }

  get curves() {
    return curves(this.results, this.settings);
  }

  /** @param {() => void} changed called after each result */
  async run(changed) {
    const waiting = this.tasks.values();
    const worker = async () => {
      for (const task of waiting) {
        if (this.status !== "running") return;
        await this.#answer(task);
        changed();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (this.status === "running") this.status = "done";
    changed();
  }

  stop() {
    this.status = "stopped";
    this.#controller.abort();
  }

  /** @param {import("../lib/sweep.js").Task} task */
  async #answer(task) {
    const problem = this.problems[task.problem];
    const json = requestBody(this.model, [{ role: "user", content: problem.question }], task.budget);
    const { signal } = this.#controller;
    try {
      const response = await send("v1/chat/completions", { method: "POST", json, signal });
      this.results.push(resultOf(task, problem, await response.json()));
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof APIError && error.status === 503) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER));
        await this.#answer(task);
        return;
      }
      this.failures.push(error instanceof Error ? error.message : String(error));
      if (this.failures.length >= MOST_FAILURES) this.stop();
    }
  }

  /** What is exported: enough to draw the curves, and to grade again. */
  toJSON() {
    const { model, name, settings, base, status, failures, results } = this;
    return {
      format: "tenuto-scaling-1",
      model,
      problems: name,
      settings,
      base,
      status,
      failures,
      curves: this.curves,
      results,
    };
  }
}
