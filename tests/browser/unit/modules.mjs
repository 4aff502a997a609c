// The pure modules of the playground.
const root = new URL("../../../server/tenuto_server/playground/static/lib/", import.meta.url);
const load = (name) => import(new URL(`${name}.js`, root));
export const [budget, conversation, problems, reply, snippets, spans, sse, statistics, sweep] = await Promise.all(
  ["budget", "conversation", "problems", "reply", "snippets", "spans", "sse", "statistics", "sweep"].map(load),
);
