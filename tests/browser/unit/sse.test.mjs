import assert from "node:assert/strict";
import { test } from "node:test";
import { sse } from "./modules.mjs";

const STREAM =
  ': keep-alive\r\n\r\ndata: {"a": 1}\r\n\r\ndata:two\ndata: lines\n\nevent: x\nid: 1\n\ndata: 時\r\rdata: [DONE]\n\n';
const EVENTS = ['{"a": 1}', "two\nlines", "時", "[DONE]"];

test("a stream that is cut at any two characters has the same events", () => {
  for (let first = 0; first <= STREAM.length; first++) {
    for (let second = first; second <= STREAM.length; second++) {
      const splitter = new sse.EventSplitter();
      const pieces = [STREAM.slice(0, first), STREAM.slice(first, second), STREAM.slice(second)];
      assert.deepEqual(
        pieces.flatMap((piece) => splitter.push(piece)),
        EVENTS,
      );
    }
  }
});

test("an event that has not ended is not given out", () => {
  const splitter = new sse.EventSplitter();
  assert.deepEqual(splitter.push("data: half\n"), []);
  assert.deepEqual(splitter.push("\n"), ["half"]);
});
