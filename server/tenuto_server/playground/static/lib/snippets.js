// @ts-check
/** The same request as a command or a program. */

/** @typedef {Record<string, any>} Body */

/** Fields that the `openai` packages know by name; others go into `extra_body`, or are passed unchecked. */
const OF_OPENAI = new Set(["model", "messages", "temperature", "max_tokens", "reasoning_effort"]);
/** Fields that are arguments of the `tenuto` client by name. */
const KEY_PLACEHOLDER = "$TENUTO_API_KEY";

/**
 * @param {string} url of the server, without a slash at its end
 * @param {Body} body
 * @param {boolean} hasKey whether the server asks for an API key; its value is never written
 */
export function curl(url, body, hasKey) {
  const key = hasKey ? ` \\\n  -H "Authorization: Bearer ${KEY_PLACEHOLDER}"` : "";
  return `curl ${shell(`${url}/v1/chat/completions`)} \\\n  -H 'Content-Type: application/json'${key} \\\n  -d ${shell(JSON.stringify(body, null, 2))}`;
}

/** @param {string} text */
function shell(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * @param {string} url
 * @param {Body} body
 * @param {boolean} hasKey
 */
export function pythonOpenai(url, body, hasKey) {
  const own = Object.entries(body).filter(([name]) => OF_OPENAI.has(name));
  const extra = Object.fromEntries(Object.entries(body).filter(([name]) => !OF_OPENAI.has(name)));
  const lines = own.map(([name, value]) => `    ${name}=${python(value, 1)},`);
  if (Object.keys(extra).length) lines.push(`    extra_body=${python(extra, 1)},`);
  return `${hasKey ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${python(`${url}/v1`)}, api_key=${hasKey ? 'os.environ["TENUTO_API_KEY"]' : '"none"'})
completion = client.chat.completions.create(
${lines.join("\n")}
)
choice = completion.choices[0]
print(choice.message.content)
print(choice.to_dict()["thinking"])
`;
}

/**
 * @param {string} url
 * @param {Body} body
 * @param {boolean} hasKey
 */
export function pythonTenuto(url, body, hasKey) {
  const { messages, ...rest } = body;
  const lines = Object.entries(rest).map(([name, value]) => `        ${name}=${python(value, 2)},`);
  const key = hasKey ? ', api_key=os.environ["TENUTO_API_KEY"]' : "";
  return `${hasKey ? "import os\n\n" : ""}import tenuto

with tenuto.Client(${python(url)}${key}) as client:
    completion = client.chat(
        ${python(messages, 2)},
${lines.join("\n")}
    )
print(completion.content)
print(completion.thinking)
`;
}

/**
 * @param {string} url
 * @param {Body} body
 * @param {boolean} hasKey
 */
export function javascript(url, body, hasKey) {
  const given = JSON.stringify(body, null, 2);
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(`${url}/v1`)}, apiKey: ${hasKey ? "process.env.TENUTO_API_KEY" : '"none"'} });
const completion = await client.chat.completions.create(${given});
const choice = completion.choices[0];
console.log(choice.message.content);
console.log(choice.thinking);
`;
}

/**
 * A value as Python writes it.
 *
 * @param {any} value
 * @param {number} depth
 * @returns {string}
 */
function python(value, depth = 0) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  // JSON writes what Python cannot read in one case only: surrogate pairs are kept as they are, and never escaped.
  if (typeof value === "string") return JSON.stringify(value);
  const indent = "    ".repeat(depth + 1);
  if (Array.isArray(value)) {
    return `[\n${value.map((each) => `${indent}${python(each, depth + 1)},\n`).join("")}${"    ".repeat(depth)}]`;
  }
  return `{${Object.entries(value)
    .map(([name, each]) => `${JSON.stringify(name)}: ${python(each, depth + 1)}`)
    .join(", ")}}`;
}

export const LANGUAGES = /** @type {const} */ ([
  ["curl", curl],
  ["Python (openai)", pythonOpenai],
  ["Python (tenuto)", pythonTenuto],
  ["JavaScript", javascript],
]);
