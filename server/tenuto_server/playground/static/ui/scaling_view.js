// @ts-check
/** A set of problems over waits, caps and votes: accuracy against thinking tokens, drawn as results arrive. */
import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { send } from "../api.js";
import { parseProblems } from "../lib/problems.js";
import { parseList } from "../lib/statistics.js";
import { announce, chosenModel, store, useStore } from "../store.js";
import { Chart, NAMES, picture } from "./chart.js";
import { download } from "./download.js";
import { count, percent } from "./format.js";
import { Icon } from "./icon.js";
import { ScalingRun } from "./scaling_run.js";

/** @typedef {import("../lib/sweep.js").Method} Method */

const REDRAW = 250;
const FIELDS = /** @type {const} */ ([
  ["waits", "Waits", "How many attempts to stop become the wait text"],
  ["caps", "Caps", "Thinking tokens at which thinking closes"],
  ["votes", "Votes", "How many samples vote, at the server's default budget"],
]);

/** The set-up and the last run: they stay while the reader looks at another view. */
const last = {
  name: "",
  problems: /** @type {import("../lib/problems.js").Problem[]} */ ([]),
  count: "40",
  waits: "0, 1, 2, 3, 4, 6",
  caps: "0, 25, 50, 100",
  votes: "1, 2, 4",
  run: /** @type {ScalingRun | null} */ (null),
};

export function ScalingView() {
  const server = /** @type {import("../lib/budget.js").ServerSettings} */ (useStore((state) => state.server));
  const [, again] = useState(0);
  const refresh = () => again((/** @type {number} */ times) => times + 1);
  const set = (/** @type {Partial<typeof last>} */ change) => (Object.assign(last, change), refresh());
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (server.has_problems && !last.problems.length) loadBuiltIn().then(refresh);
  }, []);
  const parsed = limits(server).map(([name, most]) => [name, parseList(last[name], most), most]);
  const wrong = /** @type {[Method, number[] | null, number][]} */ (parsed).find(([, values]) => values === null);
  const settings = /** @type {import("../lib/sweep.js").Settings} */ (Object.fromEntries(parsed));
  const asked = Math.min(Number(last.count) || 0, last.problems.length);
  const perProblem = wrong ? 0 : settings.waits.length + settings.caps.length + Math.max(0, ...settings.votes);
  const isRunning = last.run?.status === "running";
  const start = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (isRunning || wrong || !asked || !perProblem) return;
    const run = new ScalingRun(
      store.value.model,
      last.name,
      last.problems.slice(0, asked),
      settings,
      store.value.budget,
    );
    set({ run });
    announce(`Asking ${count(run.tasks.length)} times.`);
    let timer = 0;
    await run.run(() => {
      timer ||= setTimeout(() => ((timer = 0), refresh()), REDRAW);
    });
    announce(run.status === "done" ? "The run is complete." : "The run was stopped.");
    refresh();
  };
  const takeFile = (/** @type {File} */ file) => {
    setProblem("");
    file
      .text()
      .then((text) => set({ problems: parseProblems(text), name: file.name }))
      .catch((/** @type {Error} */ error) => setProblem(error.message));
  };
  return html`
    <div class="view">
      <form class="card setup" onSubmit=${start}>
        <h1>Scaling</h1>
        <div class="row">
          <${Source} server=${server} onFile=${takeFile} refresh=${refresh} />
          <label for="problem-count">Questions</label>
          <input id="problem-count" class="short" inputmode="numeric" value=${last.count}
            onInput=${(/** @type {any} */ event) => set({ count: event.target.value })} />
          <span class="hint">of ${count(last.problems.length)}</span>
        </div>
        <div class="settings-row">
          ${FIELDS.map(
            ([name, label, hint]) => html`
              <div key=${name}>
                <label for=${`scaling-${name}`}><span class="swatch" data-method=${name}></span>${label}</label>
                <input id=${`scaling-${name}`} value=${last[name]} aria-invalid=${wrong?.[0] === name}
                  onInput=${(/** @type {any} */ event) => set({ [name]: event.target.value })} />
                <p class="hint">${hint}</p>
              </div>
            `,
          )}
        </div>
        <div class="row">
          <p class=${wrong || problem ? "wrong" : "hint"}
            role=${wrong || problem ? "alert" : undefined}>${problem || (wrong ? `${NAMES[wrong[0]]}: whole numbers from 0 to ${count(wrong[2])}` : `${count(asked * perProblem)} requests, eight at a time`)}</p>
          <span class="spacer"></span>
          ${isRunning ? html`<button key="stop" type="button" class="quiet"
            onClick=${() => last.run?.stop()}>Stop</button>` : html`<button key="run" class="primary" type="submit"
            disabled=${Boolean(wrong) || !asked || !perProblem}>Run</button>`}
        </div>
      </form>
      ${last.run ? html`<${Results} run=${last.run} />` : html`<p
        class="empty">Each point is a setting: how often the answers are right, and how long the model thought for them. Bars are 95 % intervals. Votes spend the same tokens in parallel.</p>`}
    </div>
  `;
}

/**
 * @param {import("../lib/budget.js").ServerSettings} server
 * @returns {[Method, number][]} the largest number of each list
 */
function limits(server) {
  return [
    ["waits", server.limits.num_waits],
    ["caps", chosenModel()?.max_model_len ?? 4096],
    ["votes", 64],
  ];
}

async function loadBuiltIn() {
  const text = await (await send("playground/problems.jsonl")).text();
  Object.assign(last, { problems: parseProblems(text), name: "Bills for the built-in model" });
}

/** @param {{server: import("../lib/budget.js").ServerSettings, onFile: (file: File) => void, refresh: () => void}} props */
function Source({ server, onFile, refresh }) {
  const input = /** @type {{current: HTMLInputElement}} */ (useRef(null));
  const take = () => {
    const file = input.current.files?.[0];
    input.current.value = "";
    if (file) onFile(file);
  };
  return html`
    <span class="source">${last.name || "No questions yet"}</span>
    <button type="button" class="quiet" title="One object per line, with “question” and “answer”"
      onClick=${() => input.current.click()}><${Icon} name="upload" />JSONL file</button>
    <input class="hidden" type="file" accept=".jsonl,.json,.txt" aria-label="Questions as JSON lines" tabindex="-1"
      ref=${input} onChange=${take} />
    ${server.has_problems && last.name.endsWith(".jsonl") && html`<button type="button" class="link"
      onClick=${() => loadBuiltIn().then(refresh)}>Built-in bills</button>`}
    <span class="spacer"></span>
  `;
}

/** @param {{run: ScalingRun}} props */
function Results({ run }) {
  const plot = /** @type {{current: any}} */ (useRef(null));
  const { curves } = run;
  const done = run.results.length + run.failures.length;
  const title = `${run.model}: accuracy against thinking tokens, ${count(run.problems.length)} questions`;
  const exportPicture = async () => download("scaling.png", await picture(plot.current, title, curves));
  const exportData = () =>
    download("scaling.json", new Blob([JSON.stringify(run, null, 2)], { type: "application/json" }));
  return html`
    <section class="card results" aria-label="Results">
      <div class="row">
        <progress max=${run.tasks.length} value=${done} aria-label="Requests answered"></progress>
        <span
          class="hint">${count(done)} of ${count(run.tasks.length)}${run.status === "stopped" ? ", stopped" : ""}</span>
        <span class="spacer"></span>
        <button class="quiet" onClick=${exportPicture}><${Icon} name="download" />PNG</button>
        <button class="quiet" onClick=${exportData}><${Icon} name="download" />JSON</button>
      </div>
      ${run.failures.length > 0 && html`<p class="error"
        role="alert">${count(run.failures.length)} failed: ${run.failures[0]}</p>`}
      <div class="legend">${curves.map(({ method, points }) => points.length > 0 && html`<span key=${method}><span
        class="swatch" data-method=${method}></span>${NAMES[method]}</span>`)}</div>
      <${Chart} curves=${curves} onPlot=${(/** @type {any} */ made) => (plot.current = made)} />
      <div class="table" tabindex="0" role="region" aria-label="Results as a table">
        <table>
          <thead><tr><th scope="col">Method</th><th scope="col">Setting</th><th scope="col">Correct</th><th
            scope="col">95 % interval</th><th scope="col">Thinking tokens</th><th scope="col">Answers</th></tr></thead>
          <tbody>
            ${curves.flatMap(({ method, points }) =>
              points.map(
                (point) => html`
              <tr key=${`${method}-${point.setting}`}>
                <td><span class="swatch"
                  data-method=${method}></span>${NAMES[method]}</td><td>${count(point.setting)}</td><td>${percent(point.accuracy)}</td>
                <td>${percent(point.low)} – ${percent(point.high)}</td><td>${count(Math.round(point.thinkingTokens))}</td><td>${count(point.count)}</td>
              </tr>
            `,
              ),
            )}
          </tbody>
        </table>
      </div>
    </section>
  `;
}
