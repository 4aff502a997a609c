// @ts-check
/** Questions with known answers: how they are read, and how a reply is graded. The rules are those of `tenuto eval`. */

/** @typedef {{question: string, answer: string}} Problem */

/**
 * Read a JSON lines file, of objects with `question` (or `problem`) and `answer`.
 *
 * @param {string} text
 * @returns {Problem[]}
 * @throws {Error} naming the first line that is wrong
 */
export function parseProblems(text) {
  const lines = text.split("\n").map((line, index) => ({ line: line.trim(), number: index + 1 }));
  const problems = lines.filter(({ line }) => line).map(({ line, number }) => parseProblem(line, number));
  if (!problems.length) throw new Error("The file holds no problem.");
  return problems;
}

/**
 * @param {string} line
 * @param {number} number
 * @returns {Problem}
 */
function parseProblem(line, number) {
  /** @type {any} */
  let item = null;
  try {
    item = JSON.parse(line);
  } catch {
    // Reported below.
  }
  const question = item?.question ?? item?.problem;
  if (typeof question !== "string" || !["string", "number"].includes(typeof item.answer)) {
    throw new Error(`Line ${number} is not an object with “question” and “answer”: ${line.slice(0, 60)}`);
  }
  return { question, answer: String(item.answer) };
}

/**
 * The answer in a reply: the last box, or the line after the last "Answer:", or the whole reply.
 *
 * @param {string} text
 */
export function extractAnswer(text) {
  const box = lastBox(text);
  const marks = [...text.matchAll(/answer\s*:/gi)];
  const mark = marks[marks.length - 1];
  if (box !== null) return box.trim();
  return (mark ? text.slice(mark.index + mark[0].length) : text).trim().split("\n", 1)[0].trim();
}

/**
 * The content of the last `\boxed{...}`, whose braces may be nested.
 *
 * @param {string} text
 * @returns {string | null}
 */
function lastBox(text) {
  const start = text.lastIndexOf("\\boxed{");
  if (start === -1) return null;
  let depth = 0;
  for (let at = start + 6; at < text.length; at++) {
    if (text[at] === "{") depth += 1;
    else if (text[at] === "}" && --depth === 0) return text.slice(start + 7, at);
  }
  return null;
}

/**
 * @param {string} extracted
 * @param {string} answer
 */
export function isCorrect(extracted, answer) {
  const expected = answer.trim();
  if (/^\d+$/.test(extracted) && /^\d+$/.test(expected)) return BigInt(extracted) === BigInt(expected);
  return extracted === expected;
}
