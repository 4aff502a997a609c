import assert from "node:assert/strict";
import { test } from "node:test";
import { budget } from "./modules.mjs";

const MODEL = { id: "m", max_model_len: 32768, defaults: {}, efforts: {} };
const SERVER = {
  version: "1",
  limits: { num_waits: 5, output_tokens: 20000, n: 8 },
  models: [MODEL],
  answer_reserve_tokens: 1024,
  markers: null,
  has_problems: false,
};
const fields = Object.fromEntries(budget.numberFields(SERVER, MODEL).map((field) => [field.name, field]));

test("bounds are the server's", () => {
  assert.equal(fields.num_waits.max, 5);
  assert.equal(fields.max_thinking_tokens.max, 20000);
  const open = { ...SERVER, limits: { ...SERVER.limits, output_tokens: null } };
  assert.equal(budget.numberFields(open, MODEL)[0].max, 32768);
});

for (const name of Object.keys(fields)) {
  test(`the slider of ${name} reaches both bounds, and comes back to where it was`, () => {
    const field = fields[name];
    assert.equal(budget.fromSlider(field, 0), field.min);
    assert.equal(budget.fromSlider(field, budget.SLIDER_STEPS), field.max);
    for (let position = 0; position <= budget.SLIDER_STEPS; position += 7) {
      const value = budget.fromSlider(field, position);
      assert.equal(
        budget.fromSlider(field, budget.toSlider(field, value)) - value <=
          Math.max(field.step, (field.max / budget.SLIDER_STEPS) * 3),
        true,
      );
    }
  });
}

for (const [text, expected] of [
  ["", undefined],
  ["12", 12],
  ["0", 0],
  ["-1", null],
  ["20001", null],
  ["1.5", null],
  ["x", null],
  ["1e3", 1000],
]) {
  test(`typed into the cap: ${JSON.stringify(text)}`, () =>
    assert.equal(budget.parseNumber(fields.max_thinking_tokens, text), expected));
}

test("a preset takes the place of the thinking, and leaves the rest", () => {
  const own = { temperature: 0.5, wait_text: "Hmm", num_waits: 3, max_thinking_tokens: 9 };
  assert.deepEqual(budget.withPreset(own, { num_waits: 1 }), { temperature: 0.5, wait_text: "Hmm", num_waits: 1 });
  assert.equal(budget.isPreset(budget.withPreset(own, {}), {}), true);
});

for (const [given, field] of [
  [{ max_thinking_tokens: 5, min_thinking_tokens: 6 }, "min_thinking_tokens"],
  [{ max_thinking_tokens: 5, max_tokens: 5 }, "max_thinking_tokens"],
  [{ min_thinking_tokens: 9, max_tokens: 8 }, "min_thinking_tokens"],
  [{ landing_tokens: 5 }, "landing_tokens"],
]) {
  test(`refused before it is sent: ${JSON.stringify(given)}`, () =>
    assert.deepEqual(Object.keys(budget.problems(given)), [field]));
}

test("what is not set is not sent", () => {
  const body = budget.requestBody("m", [], { num_waits: 0, wait_text: "", cap_text: undefined });
  assert.deepEqual(body, { model: "m", messages: [], num_waits: 0 });
});
