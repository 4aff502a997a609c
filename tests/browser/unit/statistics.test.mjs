import assert from "node:assert/strict";
import { test } from "node:test";
import { problems, statistics, sweep } from "./modules.mjs";

test("Wilson's interval, as in the literature", () => {
  const [low, high] = statistics.wilson(8, 10);
  assert.ok(Math.abs(low - 0.4902) < 1e-4 && Math.abs(high - 0.9433) < 1e-4);
  assert.deepEqual(statistics.wilson(0, 0), [0, 1]);
  assert.equal(statistics.wilson(0, 5)[0], 0);
  assert.equal(statistics.wilson(5, 5)[1], 1);
});

const sample = (answer, correct, thinkingTokens = 10) => ({ answer, correct, thinkingTokens });

test("a vote takes the most frequent answer, and of several the first", () => {
  assert.equal(statistics.vote([sample("1"), sample("2"), sample("2")]).answer, "2");
  assert.equal(statistics.vote([sample("1"), sample("2")]).answer, "1");
});

test("a vote spends the tokens of all its samples, and waits for them", () => {
  const groups = [[sample("1", false), sample("2", true), sample("2", true)], [sample("1", false)]];
  const point = statistics.votePoint(3, groups);
  assert.deepEqual([point.accuracy, point.thinkingTokens, point.count], [1, 30, 1]);
  assert.equal(statistics.votePoint(4, groups), null);
});

for (const [text, expected] of [
  ["0, 1,2  4", [0, 1, 2, 4]],
  ["4 4 1", [1, 4]],
  ["", []],
  ["1.5", null],
  ["-1", null],
  ["x", null],
  ["99", null],
]) {
  test(`list ${JSON.stringify(text)}`, () => assert.deepEqual(statistics.parseList(text, 64), expected));
}

for (const [reply, answer] of [
  ["so \\boxed{4} or \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"],
  ["Answer: 3\nFinal Answer: 12\nor more", "12"],
  [" 12 \n", "12"],
  ["\\boxed{4", "\\boxed{4"],
]) {
  test(`the answer in ${JSON.stringify(reply)}`, () => assert.equal(problems.extractAnswer(reply), answer));
}

test("digits are compared as numbers", () => {
  assert.equal(problems.isCorrect("042", "42"), true);
  assert.equal(problems.isCorrect("x", " x "), true);
  assert.equal(problems.isCorrect("", "0"), false);
});

test("a file of problems, and the line that is wrong in one", () => {
  assert.deepEqual(problems.parseProblems('{"question": "a", "answer": 1}\n\n{"problem": "b", "answer": "2"}\n'), [
    { question: "a", answer: "1" },
    { question: "b", answer: "2" },
  ]);
  assert.throws(() => problems.parseProblems('{"question": "a", "answer": 1}\n{"question": "a"}'), /Line 2/);
  assert.throws(() => problems.parseProblems("\n"), /no problem/);
});

test("a run asks every problem at every setting, and its curves have a point for each", () => {
  const settings = { waits: [0, 2], caps: [25], votes: [1, 3] };
  const all = sweep.tasks(2, settings, { max_tokens: 300, num_waits: 9, max_thinking_tokens: 7 });
  assert.equal(all.length, 2 * (2 + 1 + 3));
  assert.deepEqual(all[0].budget, { temperature: 0, max_tokens: 300, num_waits: 0 });
  assert.deepEqual(all[5].budget, { max_tokens: 300, temperature: sweep.VOTE_TEMPERATURE });
  const completion = (content, tokens) => ({ choices: [{ message: { content }, thinking: { tokens } }] });
  const results = all.map((task) =>
    sweep.resultOf(
      task,
      { question: "", answer: "4" },
      completion(task.method === "caps" ? "Answer: 5" : "Answer: 4", 10),
    ),
  );
  const curves = sweep.curves(results, settings);
  assert.deepEqual(
    curves.map(({ method, points }) => [
      method,
      points.map((point) => [point.setting, point.accuracy, point.thinkingTokens]),
    ]),
    [
      [
        "waits",
        [
          [0, 1, 10],
          [2, 1, 10],
        ],
      ],
      ["caps", [[25, 0, 10]]],
      [
        "votes",
        [
          [1, 1, 10],
          [3, 1, 30],
        ],
      ],
    ],
  );
});
