// @ts-check
/** A reply while it streams: what has arrived, when, and what the server reports of it. */

/** @typedef {{kind: "wait" | "end" | "answer", start: number, text: string}} ForcedSpan */
/** @typedef {{tokens: number, waits: number, ended_by: string, max_thinking_tokens: number | null,
 *   min_thinking_tokens: number, set_by: Record<string, string>, steered?: number}} Report */
/** @typedef {"waiting" | "thinking" | "answer" | "done" | "stopped" | "interrupted" | "error"} Status */
/**
 * @typedef {object} Reply
 * @property {string} id of the response; the server can be asked to steer it
 * @property {Status} status
 * @property {string} reasoning
 * @property {string} content
 * @property {ForcedSpan[]} forced in the reasoning, and at the beginning of the content
 * @property {Report | null} report
 * @property {string | null} finish
 * @property {string | null} error what went wrong, for the reader
 * @property {number | null} errorStatus of the HTTP response
 * @property {number} thinkingTokens
 * @property {number} completionTokens thinking, answer and the markers between them
 * @property {number} promptTokens
 * @property {number} started in milliseconds, as are the others
 * @property {number | null} firstThinking
 * @property {number | null} firstAnswer
 * @property {number | null} ended
 * @property {number | null} requestedCap that the page sent, until the report gives the one in force
 * @property {string[]} steering what came of each steering request
 */

/**
 * @param {number} now
 * @param {number | null} requestedCap
 * @returns {Reply}
 */
export function newReply(now, requestedCap = null) {
  return {
    id: "",
    status: "waiting",
    reasoning: "",
    content: "",
    forced: [],
    report: null,
    finish: null,
    error: null,
    errorStatus: null,
    thinkingTokens: 0,
    completionTokens: 0,
    promptTokens: 0,
    started: now,
    firstThinking: null,
    firstAnswer: null,
    ended: null,
    requestedCap,
    steering: [],
  };
}

/** @param {Reply} reply */
export function isRunning(reply) {
  return reply.status === "waiting" || reply.status === "thinking" || reply.status === "answer";
}

/**
 * Add one chunk of a stream to a reply.
 *
 * @param {Reply} reply
 * @param {any} chunk
 * @param {number} now
 */
export function takeChunk(reply, chunk, now) {
  if (chunk.error) {
    fail(reply, chunk.error.message ?? String(chunk.error), now, chunk.error.code ?? null);
    return;
  }
  if (chunk.id) reply.id = chunk.id;
  for (const choice of chunk.choices ?? []) if (choice.index === 0) takeChoice(reply, choice, now);
  takeUsage(reply, chunk.usage);
}

/**
 * @param {Reply} reply
 * @param {any} choice
 * @param {number} now
 */
function takeChoice(reply, choice, now) {
  const { reasoning, reasoning_content: other, content } = choice.delta ?? {};
  const thought = reasoning ?? other;
  if (thought) {
    reply.reasoning += thought;
    reply.firstThinking ??= now;
    if (reply.status === "waiting") reply.status = "thinking";
  }
  if (content) {
    reply.content += content;
    reply.firstAnswer ??= now;
    if (isRunning(reply)) reply.status = "answer";
  }
  const ends = choice.finish_reason != null;
  if (choice.forced && ends) reply.forced = choice.forced;
  else if (choice.forced) reply.forced.push(...choice.forced);
  if (!ends) return;
  reply.finish = choice.finish_reason;
  reply.report = choice.thinking ?? null;
  if (reply.report) reply.thinkingTokens = reply.report.tokens;
}

/**
 * @param {Reply} reply
 * @param {any} usage
 */
function takeUsage(reply, usage) {
  if (!usage) return;
  reply.promptTokens = usage.prompt_tokens ?? reply.promptTokens;
  reply.completionTokens = usage.completion_tokens ?? reply.completionTokens;
  const thinking = usage.completion_tokens_details?.reasoning_tokens;
  if (thinking != null && !reply.report) reply.thinkingTokens = thinking;
}

/**
 * The stream is over. Without a finish reason, it was cut.
 *
 * @param {Reply} reply
 * @param {number} now
 */
export function finish(reply, now) {
  if (!isRunning(reply)) return;
  reply.ended = now;
  reply.status = reply.finish ? "done" : "interrupted";
}

/**
 * @param {Reply} reply
 * @param {number} now
 */
export function stop(reply, now) {
  if (!isRunning(reply)) return;
  reply.ended = now;
  reply.status = "stopped";
}

/**
 * @param {Reply} reply
 * @param {string} message
 * @param {number} now
 * @param {number | null} status
 */
export function fail(reply, message, now, status = null) {
  reply.ended = now;
  reply.status = "error";
  reply.error = message;
  reply.errorStatus = status;
}

/**
 * Numbers for the line under a reply. Seconds, tokens, tokens per second; null where they are not known.
 *
 * @param {Reply} reply
 * @param {number} now
 */
export function facts(reply, now) {
  const end = reply.ended ?? now;
  const first = Math.min(reply.firstThinking ?? Infinity, reply.firstAnswer ?? Infinity);
  const answering = reply.firstAnswer ?? (isRunning(reply) ? now : end);
  return {
    thinkingTokens: reply.thinkingTokens,
    answerTokens: Math.max(reply.completionTokens - reply.thinkingTokens, 0),
    waits: reply.report?.waits ?? reply.forced.filter((span) => span.kind === "wait").length,
    cap: reply.report ? capSet(reply.report) : reply.requestedCap,
    toThinking: seconds(reply.started, reply.firstThinking),
    toAnswer: seconds(reply.started, reply.firstAnswer),
    thinkingTime: reply.firstThinking === null ? null : seconds(reply.firstThinking, answering),
    total: (end - reply.started) / 1000,
    rate: end > first && reply.completionTokens > 1 ? (1000 * (reply.completionTokens - 1)) / (end - first) : null,
  };
}

/**
 * The cap, unless it is only what the context leaves.
 *
 * @param {Report} report
 */
function capSet(report) {
  return report.set_by.max_thinking_tokens === "default" ? null : report.max_thinking_tokens;
}

/**
 * @param {number} from
 * @param {number | null} to
 */
function seconds(from, to) {
  return to === null ? null : (to - from) / 1000;
}

const ENDINGS = /** @type {Record<string, string>} */ ({
  model: "The model ended its thinking",
  cap: "Closed at the cap",
  loop: "Closed because it repeated itself",
  stop_token: "The model tried to end the reply, so its thinking was closed",
  length: "The reply ended while thinking",
  none: "No thinking",
});

/**
 * Why the thinking ended, in words.
 *
 * @param {Report} report
 */
export function ending(report) {
  if (report.ended_by === "cap" && report.set_by.max_thinking_tokens === "steering") return "Closed by “Answer now”";
  return ENDINGS[report.ended_by] ?? report.ended_by;
}

const LIKE_A_THOUGHT =
  /^(wait\b|hmm+\b|okay,? (so|let|the)\b|alright,? (so|let)\b|let me (think|re|check|see|start)|but wait\b|so,? let me\b|actually, wait\b)/i;

/**
 * What the reader should know of a reply that has ended; empty where all is well.
 *
 * @param {Reply} reply
 * @returns {string[]}
 */
export function warnings(reply) {
  if (reply.status !== "done") return [];
  const answer = withoutForced(reply).trim();
  /** @type {string[]} */
  const found = [];
  if (answer === "")
    found.push(
      `The answer is empty.${reply.finish === "length" ? " The reply ran out of tokens: raise max tokens, or lower the cap." : ""}`,
    );
  else if (LIKE_A_THOUGHT.test(answer) || /<\/?think>/.test(answer)) {
    found.push(
      "The answer goes on like a thought: the model was cut before it was ready. Raise the cap, or set landing tokens.",
    );
  } else if (reply.finish === "length") found.push("The answer was cut at max tokens.");
  return found;
}

/** @param {Reply} reply */
function withoutForced(reply) {
  const prefix = reply.forced.find((span) => span.kind === "answer")?.text ?? "";
  return reply.content.startsWith(prefix) ? reply.content.slice(prefix.length) : reply.content;
}
