/** The gateway's answers as pages for people. */
import { STATUS_CODES } from "node:http";
import type { Refusal } from "./refusal.ts";

/** Nothing in these pages runs or is loaded. */
export const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** These may be different in a moment, when a program has started. The page then loads itself again. */
const passing = new Set(["not-listening", "not-exposed-yet", "busy", "too-many-connections", "no-answer"]);
/** Seconds. */
const reloadAfter = 3;

export function pageOf({ status, rule, message }: Refusal): string {
  const title = `${status} ${STATUS_CODES[status] ?? ""}`.trim();
  const reload = passing.has(rule);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${reload ? `<meta http-equiv="refresh" content="${reloadAfter}">\n` : ""}<title>${escape(title)}</title>
<style>
:root { color-scheme: light dark }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 16px/1.5 system-ui, sans-serif }
main { max-width: 34rem; padding: 2rem }
h1 { font-size: 1.25rem; margin: 0 0 .5rem }
p { margin: 0 0 1rem; overflow-wrap: anywhere }
small { opacity: .7 }
</style>
</head>
<body>
<main>
<h1>${escape(title)}</h1>
<p>${escape(message)}</p>
<small>${reload ? "This page tries again by itself. " : ""}Answer of the gateway: ${escape(rule)}</small>
</main>
</body>
</html>
`;
}

/** Messages can contain what others chose. */
function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
