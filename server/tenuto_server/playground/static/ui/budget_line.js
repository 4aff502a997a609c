// @ts-check
/** The budget of the next reply in one line, and the presets. */
import { html } from "../vendor/htm-preact.js";
import { isPreset, presets, problems, withPreset } from "../lib/budget.js";
import { chosenModel, store, useStore } from "../store.js";

export function BudgetLine() {
  const budget = useStore((state) => state.budget);
  useStore((state) => state.model);
  const wrong = Object.values(problems(budget))[0];
  const choices = presets(chosenModel());
  const chosen = choices.find((preset) => isPreset(budget, preset.budget));
  const choose = (/** @type {any} */ event) => {
    const preset = choices.find(({ name }) => name === event.target.value);
    if (preset) store.set({ budget: withPreset(store.value.budget, preset.budget) });
  };
  return html`
    <div class="budget-line">
      <select aria-label="Preset" value=${chosen?.name ?? "Custom"} onChange=${choose}>
        ${choices.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}
        ${!chosen && html`<option value="Custom">Custom budget</option>`}
      </select>
      <span class=${wrong ? "wrong" : "described"}
        role=${wrong ? "alert" : undefined}>${wrong ?? describe(budget)}</span>
      <button type="button" class="link only-medium" onClick=${() => store.set({ isBudgetShown: true })}>Adjust</button>
    </div>
  `;
}

/** @param {import("../lib/budget.js").Budget} budget */
export function describe(budget) {
  const parts = [
    budget.max_thinking_tokens !== undefined && `cap ${budget.max_thinking_tokens}`,
    budget.min_thinking_tokens !== undefined && `floor ${budget.min_thinking_tokens}`,
    budget.num_waits !== undefined && `${budget.num_waits} ${budget.num_waits === 1 ? "wait" : "waits"}`,
    budget.landing_tokens !== undefined && `landing ${budget.landing_tokens}`,
    budget.reasoning_effort !== undefined && `effort ${budget.reasoning_effort}`,
    budget.temperature !== undefined && `temperature ${budget.temperature}`,
    budget.max_tokens !== undefined && `at most ${budget.max_tokens} tokens`,
  ].filter(Boolean);
  return parts.join(" · ") || "no budget sent";
}
