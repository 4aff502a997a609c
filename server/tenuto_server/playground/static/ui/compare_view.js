// @ts-check
/** One question at several budgets, streaming side by side. */
import { html, useState } from "../vendor/htm-preact.js";
import { numberFields, requestBody } from "../lib/budget.js";
import { parseList } from "../lib/statistics.js";
import { newLive } from "../replies.js";
import { announce, chosenModel, store, useStore } from "../store.js";
import { describe } from "./budget_line.js";
import { count } from "./format.js";
import { ReplyView } from "./reply_view.js";

/** @typedef {import("../lib/budget.js").Budget} Budget */
/** @typedef {{id: number, label: string, live: import("../replies.js").Live}} Column */

const VARIED = /** @type {const} */ ([
  ["num_waits", "Waits", "0, 1, 2, 4"],
  ["max_thinking_tokens", "Cap", "0, 25, 100, 400"],
  ["min_thinking_tokens", "Floor", "0, 100, 200, 400"],
]);
const MOST_COLUMNS = 8;

/** What was compared last: it stays while the reader looks at another view. */
const last = {
  question: "",
  field: /** @type {keyof Budget} */ ("num_waits"),
  values: "0, 1, 2, 4",
  columns: /** @type {Column[]} */ ([]),
};

export function CompareView() {
  const server = /** @type {import("../lib/budget.js").ServerSettings} */ (useStore((state) => state.server));
  const [, again] = useState(0);
  const refresh = () => again((/** @type {number} */ times) => times + 1);
  const set = (/** @type {Partial<typeof last>} */ change) => (Object.assign(last, change), refresh());
  const [, label] = /** @type {typeof VARIED[number]} */ (VARIED.find(([name]) => name === last.field));
  const bound = /** @type {{max: number}} */ (
    numberFields(server, chosenModel()).find(({ name }) => name === last.field)
  ).max;
  const values = parseList(last.values, bound);
  const problem =
    values === null
      ? `Whole numbers from 0 to ${count(bound)}`
      : values.length > MOST_COLUMNS
        ? `At most ${MOST_COLUMNS} columns`
        : "";
  const isRunning = last.columns.some(({ live }) => live.isRunning);
  const canRun = last.question.trim() !== "" && !problem && values !== null && values.length > 0 && !isRunning;
  const run = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!canRun || !values) return;
    const { model, budget } = store.value;
    const started = values.map((value, id) => {
      const own = { ...budget, [last.field]: value };
      const body = requestBody(model, [{ role: "user", content: last.question.trim() }], own);
      const live = newLive(body);
      return { column: { id: id + Date.now(), label: `${label} ${count(value)}`, live }, done: live.run(body) };
    });
    set({ columns: started.map(({ column }) => column) });
    announce(`Comparing ${values.length} budgets.`);
    await Promise.all(started.map(({ done }) => done));
    announce("The comparison is complete.");
    refresh();
  };
  return html`
    <div class="view">
      <form class="card setup" onSubmit=${run}>
        <h1>Compare budgets</h1>
        <label for="question">Question</label>
        <textarea id="question" rows="2" dir="auto" value=${last.question}
          placeholder=${server.has_problems ? "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9" : "One question, asked once at each budget"}
          onInput=${(/** @type {any} */ event) => set({ question: event.target.value })}></textarea>
        <div class="row">
          <label for="varied">Vary</label>
          <select id="varied" value=${last.field}
            onChange=${(/** @type {any} */ event) => set({ field: event.target.value, values: VARIED.find(([name]) => name === event.target.value)?.[2] ?? "" })}>
            ${VARIED.map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}
          </select>
          <label class="hidden" for="values">Values</label>
          <input id="values" value=${last.values} aria-invalid=${problem !== ""} aria-describedby="values-problem"
            onInput=${(/** @type {any} */ event) => set({ values: event.target.value })} />
          <span class="spacer"></span>
          ${isRunning ? html`<button key="stop" type="button" class="quiet"
            onClick=${() => last.columns.forEach(({ live }) => live.stop())}>Stop all</button>` : html`<button key="run"
            class="primary" type="submit" disabled=${!canRun}>Compare</button>`}
        </div>
        <p id="values-problem" class=${problem ? "wrong" : "hint"}>${problem || others(last.field)}</p>
      </form>
      ${!last.columns.length && html`<p
        class="empty">Each value gets a column, and all of them stream at once. The other fields are those of the budget.</p>`}
      <div class="compare" tabindex="0" role="region" aria-label="Replies">
        ${last.columns.map(({ id, label: text, live }) => html`<${ComparedReply} key=${id} label=${text}
          live=${live} />`)}
      </div>
    </div>
  `;
}

/** @param {keyof Budget} varied */
function others(varied) {
  const { [varied]: _, ...rest } = store.value.budget;
  return `The rest of the budget: ${describe(rest)}.`;
}

/** @param {{label: string, live: import("../replies.js").Live}} props */
function ComparedReply({ label, live }) {
  return html`<section class="card column" aria-label=${label}><h2>${label}</h2><${ReplyView} live=${live}
    isFresh=${true} /></section>`;
}
