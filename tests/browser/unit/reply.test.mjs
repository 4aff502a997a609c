import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "./modules.mjs";

const REPORT = { tokens: 3, waits: 1, ended_by: "cap", max_thinking_tokens: 3, min_thinking_tokens: 0, set_by: {} };
const usage = (completion, reasoning) => ({
  prompt_tokens: 9,
  completion_tokens: completion,
  completion_tokens_details: { reasoning_tokens: reasoning },
});
const chunk = (delta, rest = {}, used = undefined) => ({
  id: "chatcmpl-1",
  choices: [{ index: 0, delta, finish_reason: null, ...rest }],
  usage: used,
});

function streamed(...chunks) {
  const made = reply.newReply(1000, 3);
  chunks.forEach((each, index) => reply.takeChunk(made, each, 1100 + 100 * index));
  return made;
}

const whole = () =>
  streamed(
    chunk({ role: "assistant", content: "" }),
    chunk({ reasoning: "so ", reasoning_content: "so " }, {}, usage(1, 1)),
    chunk({ reasoning: "Wait" }, { forced: [{ kind: "wait", start: 3, text: "Wait" }] }, usage(2, 2)),
    chunk({ content: "12" }, {}, usage(5, 3)),
    chunk(
      {},
      {
        finish_reason: "stop",
        thinking: REPORT,
        forced: [
          { kind: "wait", start: 3, text: "Wait" },
          { kind: "end", start: 7, text: "" },
        ],
      },
      usage(6, 3),
    ),
  );

test("a reply is put together from its chunks, with the time of each part", () => {
  const made = whole();
  reply.finish(made, 2000);
  assert.deepEqual([made.status, made.reasoning, made.content, made.finish], ["done", "so Wait", "12", "stop"]);
  const { thinkingTokens, answerTokens, waits, cap, toThinking, toAnswer, rate } = reply.facts(made, 9999);
  assert.deepEqual([thinkingTokens, answerTokens, waits, cap], [3, 3, 1, 3]);
  assert.deepEqual([toThinking, toAnswer], [0.2, 0.4]);
  assert.equal(rate, 5 / 0.8);
});

test("the last chunk's list of forced texts replaces what was marked before", () => {
  const made = streamed(chunk({ reasoning: "Wait" }, { forced: [{ kind: "wait", start: 0, text: "Wait" }] }));
  assert.equal(made.forced.length, 1);
  reply.takeChunk(made, chunk({}, { finish_reason: "stop", forced: [] }), 1);
  assert.deepEqual(made.forced, []);
});

test("the status follows the stream", () => {
  const made = reply.newReply(0);
  const seen = [made.status];
  for (const each of [chunk({ role: "assistant" }), chunk({ reasoning: "a" }), chunk({ content: "b" })]) {
    reply.takeChunk(made, each, 1);
    seen.push(made.status);
  }
  assert.deepEqual(seen, ["waiting", "waiting", "thinking", "answer"]);
});

test("a stream without a finish reason was cut, and one that was stopped stays stopped", () => {
  const cut = streamed(chunk({ reasoning: "a" }));
  reply.finish(cut, 5);
  assert.equal(cut.status, "interrupted");
  const stopped = streamed(chunk({ reasoning: "a" }));
  reply.stop(stopped, 5);
  reply.finish(stopped, 6);
  assert.deepEqual([stopped.status, stopped.ended], ["stopped", 5]);
});

test("an error within a stream is the reply's error, and what had arrived is kept", () => {
  const made = streamed(chunk({ reasoning: "a" }), { error: { message: "the engine has died", code: 500 } });
  assert.deepEqual(
    [made.status, made.error, made.errorStatus, made.reasoning],
    ["error", "the engine has died", 500, "a"],
  );
});

for (const [content, finish, expected] of [
  ["Final Answer: 12", "stop", []],
  ["", "stop", [/is empty/]],
  ["  \n", "length", [/is empty.*max tokens/]],
  ["Wait, that is wrong.", "stop", [/like a thought/]],
  ["Okay, let me check that.", "stop", [/like a thought/]],
  ["12 </think> 12", "stop", [/like a thought/]],
  ["The waiting time is 3 h", "stop", []],
  ["A long tale", "length", [/cut at max tokens/]],
]) {
  test(`warnings of ${JSON.stringify(content)} that ended by ${finish}`, () => {
    const made = { ...reply.newReply(0), status: "done", content, finish };
    const found = reply.warnings(made);
    assert.equal(found.length, expected.length);
    expected.forEach((pattern, index) => assert.match(found[index], pattern));
  });
}

test("a forced beginning alone is no answer", () => {
  const made = {
    ...reply.newReply(0),
    status: "done",
    content: "\nFinal Answer:",
    finish: "stop",
    forced: [{ kind: "answer", start: 0, text: "\nFinal Answer:" }],
  };
  assert.match(reply.warnings(made)[0], /is empty/);
});

test("the reason for the end is in words, and steering is named", () => {
  assert.match(reply.ending(REPORT), /cap/);
  assert.match(reply.ending({ ...REPORT, set_by: { max_thinking_tokens: "steering" } }), /Answer now/);
  assert.equal(reply.ending({ ...REPORT, ended_by: "of another kind" }), "of another kind");
});
