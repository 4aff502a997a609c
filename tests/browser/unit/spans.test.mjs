import assert from "node:assert/strict";
import { test } from "node:test";
import { spans } from "./modules.mjs";

const wait = (start, text = "Wait") => ({ kind: "wait", start, text });

test("a forced text is marked where it is", () => {
  const text = "one Wait two Wait";
  const found = spans.ranges(text, [wait(13), wait(4)]);
  assert.deepEqual(
    found.map(({ start, end }) => text.slice(start, end)),
    ["Wait", "Wait"],
  );
  assert.deepEqual(
    spans.segments(text, found).map(({ text: part, kind }) => kind + ":" + part),
    [":one ", "wait:Wait", ":two ".replace("two", " two"), "wait:Wait"],
  );
});

test("offsets count Unicode characters", () => {
  const text = "🍲🐟 = 13\nWait";
  assert.deepEqual(spans.ranges(text, [wait(8)]), [{ start: 10, end: 14, kind: "wait" }]);
});

test("what is not there is not marked", () => {
  assert.deepEqual(spans.ranges("one two", [wait(4), wait(400), { kind: "end", start: 7, text: "" }]), []);
});

test("a piece has its part of a forced text", () => {
  const forced = [{ start: 2, end: 6, kind: "wait" }];
  const parts = (from, to) => spans.segments("abcdefgh", forced, from, to).map(({ text, kind }) => [text, kind]);
  assert.deepEqual(parts(0, 4), [
    ["ab", ""],
    ["cd", "wait"],
  ]);
  assert.deepEqual(parts(4, 8), [
    ["ef", "wait"],
    ["gh", ""],
  ]);
  assert.deepEqual(parts(6, 8), [["gh", ""]]);
});

test("blocks of a long text end at lines, and those of a text without lines end too", () => {
  const lines = "0123456789\n".repeat(1000);
  let from = 0;
  for (let next; (next = spans.nextBlock(lines, from, 100)) !== null; from = next) {
    assert.equal(lines[next - 1], "\n");
    assert.ok(next - from <= 111);
  }
  assert.equal(spans.nextBlock("x".repeat(399), 0, 100), null);
  assert.equal(spans.nextBlock("x".repeat(400), 0, 100), 400);
});
