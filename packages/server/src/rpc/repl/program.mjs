// Runs inside the sandbox, by Deno. Reads requests from one pipe and writes answers to another, so that the user's stdin, stdout
// and stderr stay the user's. Code is evaluated by V8's own REPL mode: state stays, top-level await works, the value of the last
// expression is the result, and `const` may be declared again.
import inspector from "node:inspector";
import { stripTypeScriptTypes } from "node:module";

const directory = Deno.env.get("CAISSON_REPL");
Deno.env.delete("CAISSON_REPL");

// An error in a callback must not end the session, as in `deno repl`.
const report = console.error.bind(console, "Uncaught");
addEventListener("error", (event) => {
  event.preventDefault();
  report(event.error);
});
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  report("(in promise)", event.reason);
});

const session = new inspector.Session();
session.connect();
const ask = (method, params) =>
  new Promise((resolve, reject) =>
    session.post(method, params, (error, result) => (error ? reject(error) : resolve(result))),
  );
let taken;
const take = (value) => (taken = { value });
const takeKey = Symbol("take");
Object.defineProperty(globalThis, takeKey, { value: take, configurable: true });
await ask("Runtime.enable", {});
// A handle of our own function for the inspector; afterwards nothing of ours is left where the user's code could meet it.
Object.defineProperty(globalThis, "__caisson", { value: take, configurable: true });
const takeObject = (await ask("Runtime.evaluate", { expression: "__caisson" })).result.objectId;
delete globalThis.__caisson;
delete globalThis[takeKey];

/** The value behind an inspector's description of it. */
async function valueOf(remote) {
  const { objectId, unserializableValue, value } = remote;
  const argument = objectId ? { objectId } : unserializableValue ? { unserializableValue } : { value };
  await ask("Runtime.callFunctionOn", {
    objectId: takeObject,
    functionDeclaration: "function (value) { this(value); }",
    arguments: [argument],
  });
  const result = taken;
  taken = undefined;
  if (objectId) session.post("Runtime.releaseObject", { objectId }, () => {});
  return result;
}

async function evaluate(code) {
  const answer = await ask("Runtime.evaluate", { expression: prepare(code), replMode: true, awaitPromise: true });
  const { value } = await valueOf(answer.exceptionDetails?.exception ?? answer.result);
  if (answer.exceptionDetails) throw value;
  return await value;
}

async function call(fn, args) {
  const callee = await evaluate(`(${fn}\n)`);
  if (typeof callee !== "function") throw new TypeError(`${fn} is not a function`);
  return await callee(...args);
}

/** TypeScript to JavaScript, and static imports, which a script cannot have, to dynamic ones. */
function prepare(code) {
  const text = rewriteImports(isObjectLiteral(code) ? `(${code}\n)` : code);
  for (const mode of ["strip", "transform"]) {
    try {
      return stripTypeScriptTypes(text, { mode });
    } catch {
      // `strip` refuses what needs code, such as enums. What both refuse is left to V8, whose message is better.
    }
  }
  return text;
}

/** As in `deno repl`, `{ a: 1 }` is an object and not a block. */
function isObjectLiteral(code) {
  if (!/^\s*\{/.test(code) || /;\s*$/.test(code)) return false;
  try {
    new (async () => {}).constructor(`return (${code}\n)`);
    return true;
  } catch {
    return false;
  }
}

const base = `file://${Deno.cwd()}/`;
const resolve = (specifier) => JSON.stringify(/^\.{0,2}\//.test(specifier) ? new URL(specifier, base).href : specifier);
const staticImport =
  /^([ \t]*)import\s+(type\s+)?(?:([\w$*{}\s,]+?)\s*\bfrom\s*)?(["'])([^"'\n]+)\4(?:\s+with\s+(\{[^}]*\}))?[ \t]*;?/gm;
const relativeImport = /\bimport\s*\(\s*(["'])(\.{1,2}\/[^"'\n]*)\1/g;

function rewriteImports(code) {
  return code
    .replace(staticImport, (_, indent, type, names, _quote, specifier, attributes) => {
      if (type) return "";
      const loading = `await import(${resolve(specifier)}${attributes ? `, { with: ${attributes} }` : ""})`;
      return names ? `${indent}const ${bindings(names)} = ${loading};` : `${indent}${loading};`;
    })
    .replace(relativeImport, (_, _quote, specifier) => `import(${resolve(specifier)}`)
    .replace(/^export\s+(?=(const|let|var|function|class|async|enum|abstract|interface|type)\b)/gm, "");
}

/** `d, { a as b }` becomes `{ default: d, a: b }`, `* as n` becomes `n`. */
function bindings(names) {
  const [, namespace] = /^\s*\*\s*as\s+([\w$]+)\s*$/.exec(names) ?? [];
  if (namespace) return namespace;
  const [, first, list] = /^\s*([\w$]+)?\s*,?\s*(?:\{([^}]*)\})?\s*$/.exec(names) ?? [];
  const named = (list ?? "").split(",").map((name) => name.trim());
  const parts = named
    .filter((name) => name !== "" && !name.startsWith("type "))
    .map((name) => name.replace(/\s+as\s+/, ": "));
  return `{ ${[...(first ? [`default: ${first}`] : []), ...parts].join(", ")} }`;
}

/** Plain JSON, as near as it gets: the wire carries nothing else. */
function toJson(value, parents = new Set()) {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object") return null;
  if (parents.has(value) || parents.size > 200) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  parents.add(value);
  try {
    if (typeof value.toJSON === "function") return toJson(value.toJSON(), parents);
    if (value instanceof Map)
      value = [...value.keys()].every((key) => typeof key === "string") ? Object.fromEntries(value) : [...value];
    if (value instanceof Set || (ArrayBuffer.isView(value) && !(value instanceof DataView))) value = [...value];
    if (value instanceof Error) value = Object.assign({ name: value.name, message: value.message }, value);
    if (Array.isArray(value)) return value.map((item) => toJson(item, parents));
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, item]) => item !== undefined && typeof item !== "function")
        .map(([key, item]) => [key, toJson(item, parents)]),
    );
  } finally {
    parents.delete(value);
  }
}

function toError(error, depth = 0) {
  if (typeof error !== "object" || error === null || !("message" in error))
    return { constructorName: "Error", message: String(error) };
  return {
    constructorName: String(error.constructor?.name || "Error"),
    message: String(error.message),
    name: typeof error.name === "string" ? error.name : null,
    code: typeof error.code === "string" ? error.code : null,
    cause: error.cause instanceof Error && depth < 4 ? toError(error.cause, depth + 1) : null,
    errors: Array.isArray(error.errors) && depth < 4 ? error.errors.map((item) => toError(item, depth + 1)) : null,
  };
}

/** The other side makes the pipes while we start. */
async function open(name, options) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await Deno.open(`${directory}/${name}`, options);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound) || attempt > 1000) throw error;
      await new Promise((done) => setTimeout(done, 10));
    }
  }
}

const encoder = new TextEncoder();
const stringify = JSON.stringify;
const parse = JSON.parse;
const exit = Deno.exit;
const [requests, answers] = await Promise.all([open("in", { read: true }), open("out", { write: true })]);

// Not through `writable`: Deno 2.9 loses what its writer gets for a pipe.
async function respond(id, answer) {
  let bytes = encoder.encode(`${stringify({ id, ...answer })}\n`);
  while (bytes.length > 0) bytes = bytes.subarray(await answers.write(bytes));
}

async function handle({ id, code, fn, args }) {
  try {
    await respond(id, { ok: toJson(fn === undefined ? await evaluate(code) : await call(fn, args)) ?? null });
  } catch (error) {
    await respond(id, { error: toError(error) });
  }
}

await respond(0, { ok: null });
const decoder = new TextDecoder();
const buffer = new Uint8Array(65_536);
let rest = "";
for (let count = await requests.read(buffer); count !== null; count = await requests.read(buffer)) {
  const lines = (rest + decoder.decode(buffer.subarray(0, count), { stream: true })).split("\n");
  rest = lines.pop();
  // One at a time, in order, as typed.
  for (const line of lines) await handle(parse(line));
}
exit(0);
