import assert from "node:assert/strict";
import { test } from "node:test";
import { conversation } from "./modules.mjs";

const turn = (id, parent, role, content) => ({ id, parent, role, content });
const reply = (id, parent, content) => ({ ...turn(id, parent, "assistant", ""), reply: { content } });
const grown = () =>
  [
    turn("q", null, "user", "What is 2+2?\nQuick"),
    reply("a", "q", "4"),
    turn("q2", "a", "user", "And 3+3?"),
    reply("a2", "q2", "6"),
  ].reduce(conversation.addTurn, conversation.newConversation("c", 0));
const ids = (each) => conversation.shownTurns(each).map(({ id }) => id);

test("turns follow each other, and the first line is the title", () => {
  assert.deepEqual(ids(grown()), ["q", "a", "q2", "a2"]);
  assert.equal(grown().title, "What is 2+2?");
});

test("another try is a branch, and what followed the first one comes back with it", () => {
  const again = conversation.addTurn(grown(), reply("b", "q", "four"));
  assert.deepEqual(ids(again), ["q", "b"]);
  assert.deepEqual(
    conversation.siblings(again, again.turns.b).map(({ id }) => id),
    ["a", "b"],
  );
  assert.deepEqual(ids(conversation.choose(again, again.turns.a)), ["q", "a", "q2", "a2"]);
});

test("an edit of the first message is a branch too", () => {
  const edited = conversation.addTurn(grown(), turn("r", null, "user", "What is 5+5?"));
  assert.deepEqual(ids(edited), ["r"]);
  assert.equal(edited.title, "What is 2+2?");
});

test("messages are those of the branch, with the system message first", () => {
  const made = { ...grown(), system: "Be brief." };
  assert.deepEqual(conversation.messagesUpTo(made, "q2"), [
    { role: "system", content: "Be brief." },
    { role: "user", content: "What is 2+2?\nQuick" },
    { role: "assistant", content: "4" },
    { role: "user", content: "And 3+3?" },
  ]);
});

test("what is exported can be imported", () => {
  const made = grown();
  assert.deepEqual(conversation.imported(conversation.exported(made), "c", 0), made);
});

for (const [text, pattern] of [
  ["not JSON", /not JSON/],
  ["{}", /not a conversation/],
  [
    '{"format": "tenuto-conversation-1", "conversation": {"title": "", "system": "", "turns": {}, "order": ["x"], "chosen": {}}}',
    /not a conversation/,
  ],
  [
    '{"format": "tenuto-conversation-1", "conversation": {"title": "", "system": "", "turns": {"x": {"id": "x", "parent": "x", "role": "user", "content": ""}}, "order": ["x"], "chosen": {"root": "x", "x": "x"}}}',
    /not a conversation/,
  ],
]) {
  test(`refused: ${text.slice(0, 70)}`, () => assert.throws(() => conversation.imported(text, "c", 0), pattern));
}

test("what several tabs have kept comes together, and what was deleted stays away", () => {
  const made = (id, changed, title) => ({ ...grown(), id, changed, title });
  const own = [made("a", 3, "here"), made("b", 1, "here"), conversation.newConversation("empty", 9)];
  const stored = [made("a", 2, "there"), made("b", 2, "there"), made("c", 5, "there"), made("d", 6, "there")];
  const found = conversation.merged(own, stored, new Set(["d"])).map(({ id, title }) => [id, title]);
  assert.deepEqual(found, [
    ["c", "there"],
    ["a", "here"],
    ["b", "there"],
  ]);
});
