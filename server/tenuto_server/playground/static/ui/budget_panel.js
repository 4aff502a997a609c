// @ts-check
/** The fields of a budget, each number as a slider and a number field that show the same. */
import { html, useState } from "../vendor/htm-preact.js";
import {
  EFFORTS,
  SLIDER_STEPS,
  fromSlider,
  isPreset,
  numberFields,
  parseNumber,
  presets,
  problems,
  toSlider,
  withPreset,
} from "../lib/budget.js";
import { chosenModel, store, useStore } from "../store.js";
import { Icon } from "./icon.js";

/** @typedef {import("../lib/budget.js").Budget} Budget */
/** @typedef {import("../lib/budget.js").NumberField} NumberField */

/**
 * @param {keyof Budget} name
 * @param {any} value undefined: the field is not sent
 */
function change(name, value) {
  const { [name]: _, ...others } = store.value.budget;
  store.set({ budget: value === undefined || value === "" ? others : { ...others, [name]: value } });
}

export function BudgetPanel() {
  const server = /** @type {import("../lib/budget.js").ServerSettings} */ (useStore((state) => state.server));
  const budget = useStore((state) => state.budget);
  const preferences = useStore((state) => state.preferences);
  useStore((state) => state.model);
  const model = chosenModel();
  const fields = Object.fromEntries(numberFields(server, model).map((field) => [field.name, field]));
  const wrong = problems(budget);
  const number = (/** @type {string} */ name) => {
    const field = fields[name];
    return html`<${NumberInput} key=${name} field=${field} value=${budget[field.name]} fallback=${model?.defaults[name]}
      problem=${wrong[field.name]} />`;
  };
  return html`
    <aside class="budget" aria-label="Budget">
      <div class="panel-head"><h2>Budget</h2>
        <button class="link" onClick=${() => store.set({ budget: {} })}
          disabled=${!Object.keys(budget).length}>Reset</button>
        <button class="icon small only-medium" aria-label="Close"
          onClick=${() => store.set({ isBudgetShown: false })}><${Icon} name="close" /></button>
      </div>
      ${!server.markers && html`<p
        class="warning">How this model marks its thinking is not known: only an effort, temperature and max tokens have an effect.</p>`}
      <div class="presets" role="group" aria-label="Presets">
        ${presets(model).map((preset) => html`<button key=${preset.name} class="chip" title=${preset.hint}
          aria-pressed=${isPreset(budget, preset.budget)}
          onClick=${() => store.set({ budget: withPreset(store.value.budget, preset.budget) })}>${preset.name}</button>`)}
      </div>
      <fieldset><legend>Thinking</legend>
        ${number("max_thinking_tokens")}
        ${number("min_thinking_tokens")}
        ${number("num_waits")}
        ${number("landing_tokens")}
        <div class="setting">
          <label for="effort">Effort</label>
          <select id="effort" value=${budget.reasoning_effort ?? ""}
            onChange=${(/** @type {any} */ event) => change("reasoning_effort", event.target.value)}>
            <option value="">not sent</option>
            ${EFFORTS.map((name) => html`<option key=${name}
              value=${name}>${name}${capOf(model?.efforts[name])}</option>`)}
          </select>
        </div>
      </fieldset>
      <fieldset><legend>Forced texts</legend>
        <${TextInput} name="wait_text" label="Wait text" value=${budget.wait_text}
          fallback=${(server.markers?.wait_text ?? []).join(" / ")} />
        <${TextInput} name="cap_text" label="Cap text" value=${budget.cap_text}
          fallback=${server.markers?.cap_text.trim() || "none"} />
      </fieldset>
      <fieldset><legend>Reply</legend>
        ${number("temperature")}
        ${number("max_tokens")}
      </fieldset>
      <fieldset><legend>Page</legend>
        <label class="check"><input type="checkbox" checked=${preferences.startsCollapsed}
          onChange=${(/** @type {any} */ event) => store.set({ preferences: { ...preferences, startsCollapsed: event.target.checked } })} />Thinking starts collapsed</label>
      </fieldset>
    </aside>
  `;
}

/** @param {Record<string, unknown> | undefined} fields */
function capOf(fields) {
  const cap = fields?.max_thinking_tokens;
  return cap === undefined ? "" : ` (${typeof cap === "number" ? `cap ${cap}` : cap})`;
}

/** @param {{field: NumberField, value: any, fallback: unknown, problem?: string}} props */
function NumberInput({ field, value, fallback, problem }) {
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  const { name, label, hint, min, max } = field;
  const takesWords = name === "max_thinking_tokens";
  const take = (/** @type {string} */ text) => {
    const parsed = takesWords && (text === "auto" || text === "unlimited") ? text : parseNumber(field, text);
    setTyped(parsed === null ? text : null);
    if (parsed !== null) change(name, parsed);
  };
  const error = typed === null ? problem : `${takesWords ? "auto, unlimited, or a" : "A"} number from ${min} to ${max}`;
  const id = `field-${name}`;
  const shown = typeof value === "number" ? value : typeof fallback === "number" ? fallback : min;
  const placeholder = fallback === undefined || fallback === null ? "default" : String(fallback);
  return html`
    <div class=${`setting${value === undefined ? " unset" : ""}`}>
      <label for=${id} title=${`From ${min} to ${max.toLocaleString("en-US")}`}>${label}</label>
      <input id=${id} class="number" inputmode=${takesWords ? undefined : "decimal"} autocomplete="off"
        placeholder=${placeholder} value=${typed ?? value ?? ""} aria-invalid=${error !== undefined}
        aria-describedby=${`${id}-hint`}
        onInput=${(/** @type {any} */ event) => take(event.target.value.trim())} onBlur=${() => setTyped(null)} />
      <input type="range" min="0" max=${SLIDER_STEPS} step="1" value=${toSlider(field, shown)}
        aria-label=${`${label}, slider`} aria-valuetext=${value === undefined ? "server default" : String(value)}
        onInput=${(/** @type {any} */ event) => (setTyped(null), change(name, fromSlider(field, Number(event.target.value))))} />
      ${value !== undefined ? html`<button class="icon small clear" aria-label=${`Do not send ${label.toLowerCase()}`}
        onClick=${() => change(name, undefined)}><${Icon} name="close" /></button>` : html`<span></span>`}
      <p id=${`${id}-hint`} class=${error ? "wrong" : "hint"}>${error ?? hint}</p>
    </div>
  `;
}

/** @param {{name: keyof Budget, label: string, value: string | undefined, fallback: string}} props */
function TextInput({ name, label, value, fallback }) {
  return html`
    <div class="setting text">
      <label for=${`field-${name}`}>${label}</label>
      <input id=${`field-${name}`} dir="auto" autocomplete="off" maxlength="1024" placeholder=${fallback}
        value=${value ?? ""} onInput=${(/** @type {any} */ event) => change(name, event.target.value)} />
    </div>
  `;
}
