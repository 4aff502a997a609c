// @ts-check
/** The fields of a request that the page offers: their bounds, presets and what is wrong with them. */

/** @typedef {number | string | undefined} Value undefined: the field is not sent, and the server's default applies */
/**
 * @typedef {object} Budget
 * @property {number | "auto" | "unlimited"} [max_thinking_tokens]
 * @property {number} [min_thinking_tokens]
 * @property {number} [num_waits]
 * @property {string} [wait_text]
 * @property {string} [cap_text]
 * @property {number} [landing_tokens]
 * @property {string} [reasoning_effort]
 * @property {number} [temperature]
 * @property {number} [max_tokens]
 */
/** @typedef {{id: string, max_model_len: number, defaults: Record<string, unknown>, efforts: Record<string, Record<string, unknown>>}} Model */
/** @typedef {{version: string, limits: {num_waits: number, output_tokens: number | null, n: number}, models: Model[],
 *   answer_reserve_tokens: number, markers: {family: string, wait_text: string[], cap_text: string} | null,
 *   has_problems: boolean}} ServerSettings */
/** @typedef {{name: keyof Budget, label: string, hint: string, min: number, max: number, step: number, curve: number}} NumberField */

export const EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/**
 * The fields with a number, with the server's own bounds.
 *
 * @param {ServerSettings} settings
 * @param {Model | undefined} model
 * @returns {NumberField[]}
 */
export function numberFields(settings, model) {
  const context = model?.max_model_len ?? 4096;
  const output = Math.min(settings.limits.output_tokens ?? context, context);
  const tokens = { min: 0, max: output, step: 1, curve: 2 };
  return [
    { name: "max_thinking_tokens", label: "Cap", hint: "Closes thinking; also auto or unlimited", ...tokens },
    { name: "min_thinking_tokens", label: "Floor", hint: "Below it, attempts to stop become waits", ...tokens },
    {
      name: "num_waits",
      label: "Waits",
      hint: "Attempts to stop that become the wait text",
      min: 0,
      max: settings.limits.num_waits,
      step: 1,
      curve: settings.limits.num_waits > 64 ? 3 : 1,
    },
    { name: "landing_tokens", label: "Landing", hint: "May end at a sentence this near the cap", ...tokens },
    {
      name: "temperature",
      label: "Temperature",
      hint: "0 takes the likeliest token",
      min: 0,
      max: 2,
      step: 0.05,
      curve: 1,
    },
    { name: "max_tokens", label: "Max tokens", hint: "Of thinking and answer together", ...tokens, min: 1 },
  ];
}

export const SLIDER_STEPS = 1000;

/**
 * A slider's position for a value, and back. Small numbers of tokens get more of its length.
 *
 * @param {NumberField} field
 * @param {number} value
 */
export function toSlider(field, value) {
  const share = (clamp(value, field.min, field.max) - field.min) / (field.max - field.min || 1);
  return Math.round(SLIDER_STEPS * share ** (1 / field.curve));
}

/**
 * @param {NumberField} field
 * @param {number} position
 */
export function fromSlider(field, position) {
  const value = field.min + (field.max - field.min) * (position / SLIDER_STEPS) ** field.curve;
  const stepped = Math.round(value / field.step) * field.step;
  return Number(clamp(stepped, field.min, field.max).toFixed(4));
}

/**
 * @param {number} value
 * @param {number} least
 * @param {number} most
 */
function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most);
}

/**
 * A number that was typed: undefined for an empty field, null for what is no number within the bounds.
 *
 * @param {NumberField} field
 * @param {string} text
 * @returns {number | undefined | null}
 */
export function parseNumber(field, text) {
  if (text.trim() === "") return undefined;
  const value = Number(text);
  const fits = Number.isFinite(value) && value >= field.min && value <= field.max;
  return fits && (field.step !== 1 || Number.isInteger(value)) ? value : null;
}

/**
 * Budgets to begin with. Those in tokens scale with the model's context.
 *
 * @param {Model | undefined} model
 * @returns {{name: string, hint: string, budget: Budget}[]}
 */
export function presets(model) {
  const small = (model?.max_model_len ?? 4096) <= 8192;
  const [brief, exact] = small ? [25, 200] : [512, 2048];
  return [
    { name: "Server default", hint: "Nothing is sent: the server leaves room for an answer", budget: {} },
    { name: "No thinking", hint: "A cap of 0: the answer comes at once", budget: { max_thinking_tokens: 0 } },
    { name: "Brief", hint: `At most ${brief} thinking tokens`, budget: { max_thinking_tokens: brief } },
    { name: "Wait twice", hint: "Two attempts to stop become “Wait”", budget: { num_waits: 2 } },
    { name: "Wait six times", hint: "Six attempts to stop become “Wait”", budget: { num_waits: 6 } },
    {
      name: "Exact length",
      hint: `Exactly ${exact} thinking tokens: floor and cap are equal`,
      budget: { min_thinking_tokens: exact, max_thinking_tokens: exact },
    },
  ];
}

const THINKING = /** @type {(keyof Budget)[]} */ ([
  "max_thinking_tokens",
  "min_thinking_tokens",
  "num_waits",
  "landing_tokens",
  "reasoning_effort",
]);

/**
 * The budget with a preset's thinking in place of its own. Texts, temperature and max tokens stay.
 *
 * @param {Budget} budget
 * @param {Budget} preset
 * @returns {Budget}
 */
export function withPreset(budget, preset) {
  const kept = Object.fromEntries(
    Object.entries(budget).filter(([name]) => !THINKING.includes(/** @type {any} */ (name))),
  );
  return { ...kept, ...preset };
}

/**
 * @param {Budget} budget
 * @param {Budget} preset
 */
export function isPreset(budget, preset) {
  return THINKING.every((name) => budget[name] === preset[name]);
}

/**
 * What would be refused, by the field that is wrong.
 *
 * @param {Budget} budget
 * @returns {Partial<Record<keyof Budget, string>>}
 */
export function problems(budget) {
  const { max_thinking_tokens: cap, min_thinking_tokens: floor, landing_tokens: landing, max_tokens: most } = budget;
  /** @type {Partial<Record<keyof Budget, string>>} */
  const found = {};
  if (typeof cap === "number" && floor !== undefined && floor > cap)
    found.min_thinking_tokens = `The floor is above the cap of ${cap}`;
  if (typeof cap === "number" && most !== undefined && cap >= most)
    found.max_thinking_tokens = `The cap leaves no room for an answer within ${most} tokens`;
  if (floor !== undefined && most !== undefined && floor >= most)
    found.min_thinking_tokens = `The floor leaves no room for an answer within ${most} tokens`;
  if (landing !== undefined && landing > 0 && typeof cap !== "number")
    found.landing_tokens = "Landing needs a cap in tokens";
  return found;
}

/**
 * The body of a chat completion.
 *
 * @param {string} model
 * @param {{role: string, content: string}[]} messages
 * @param {Budget} budget
 * @returns {Record<string, any>}
 */
export function requestBody(model, messages, budget) {
  const given = Object.fromEntries(Object.entries(budget).filter(([, value]) => value !== undefined && value !== ""));
  return { model, messages, ...given };
}
