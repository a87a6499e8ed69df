/** The program that runs inside sandboxes, on the real Deno, with this host in the place of the sandbox. */
import assert from "node:assert/strict";
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, test } from "node:test";
import { OperationFailure } from "../errors.ts";
import { Budget } from "../../kernel/memory/budget.ts";
import { Repl } from "./repl.ts";
import { connectPipes } from "./start.ts";

const deno = join(import.meta.dirname, "../../../../../node_modules/.bin/deno");
const { signal } = new AbortController();
let directory: string;
let channel: ChildProcessWithoutNullStreams;
let program: ChildProcessWithoutNullStreams;
let repl: Repl;
let output = "";

before(() => {
  directory = mkdtempSync(join(tmpdir(), "caisson-repl-"));
  writeFileSync(join(directory, "module.ts"), "export const answer: number = 42; export default 'default';");
  channel = spawn("/bin/bash", ["-c", connectPipes, directory]);
  program = spawn(deno, ["run", "-A", join(import.meta.dirname, "program.mjs"), "argument"], {
    cwd: directory,
    env: { ...process.env, CAISSON_REPL: directory, NO_COLOR: "1" },
  });
  program.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  repl = new Repl(1, { requests: channel.stdin, answers: channel.stdout }, new Budget(2 ** 26));
});

after(() => {
  program.kill("SIGKILL");
  channel.kill("SIGKILL");
  rmSync(directory, { recursive: true });
});

const evaluate = (code: string) => repl.evaluate(code, signal);

async function thrown(code: string): Promise<unknown[]> {
  const error = await evaluate(code).then(
    () => assert.fail(`${code} did not throw`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof OperationFailure);
  return [error.serialised.constructorName, error.serialised.message];
}

test("the last expression is the value, state stays, promises are awaited, names may be declared again", async () => {
  const expected: [string, unknown][] = [
    ["1 + 1", 2],
    ["const x: number = 20; x + 1", 21],
    ["x", 20],
    ["const x = 'again'; x", "again"],
    ["await Promise.resolve(3)", 3],
    ["Promise.resolve(4)", 4],
    ["undefined", null],
    ["function add(a: number, b: number) { return a + b }", null],
    ["add(1, 2)", 3],
    ["{ a: 1 }", { a: 1 }],
    ["{ let y = 1; y + 1 }", 2],
    ["enum Colour { Red = 5 }; Colour.Red", 5],
    ["class A { constructor(public b = 1) {} }; new A()", { b: 1 }],
    ["interface I { a: string }\nlet i: I = { a: 'multi\\nline' };\ni.a", "multi\nline"],
    ["Deno.args", ["argument"]],
    ["typeof Deno.env.get('CAISSON_REPL')", "undefined"],
    ["Object.keys(globalThis).filter((key) => key.includes('caisson'))", []],
  ];
  for (const [code, value] of expected) assert.deepEqual(await evaluate(code), value, code);
});

test("modules are imported statically and dynamically, relative to the working directory", async () => {
  assert.equal(await evaluate('import { answer as a } from "./module.ts";\na'), 42);
  assert.equal(await evaluate('import d, { answer } from "./module.ts";\nd + answer'), "default42");
  assert.equal(await evaluate('import * as path from "node:path"; path.join("a", "b")'), "a/b");
  assert.equal(await evaluate('(await import("./module.ts")).answer'), 42);
});

test("values become plain JSON as well as they can", async () => {
  const code =
    "const o: any = { d: new Date(0), m: new Map([['k', 1]]), s: new Set([1]), n: NaN, b: 10n, f() {}, u: undefined }; o.self = o; o";
  assert.deepEqual(await evaluate(code), {
    d: "1970-01-01T00:00:00.000Z",
    m: { k: 1 },
    s: [1],
    n: null,
    b: "10",
    self: null,
  });
});

test("what is thrown keeps its class", async () => {
  assert.deepEqual(await thrown("throw new RangeError('r')"), ["RangeError", "r"]);
  assert.deepEqual(await thrown("Promise.reject(new TypeError('t'))"), ["TypeError", "t"]);
  assert.deepEqual(await thrown("class Mine extends Error {}; throw new Mine('m')"), ["Mine", "m"]);
  assert.deepEqual(await thrown("throw 5"), ["Error", "5"]);
  assert.equal((await thrown("let let = 1"))[0], "SyntaxError");
  assert.equal((await thrown("missing"))[0], "ReferenceError");
  assert.equal((await thrown("Deno.readTextFileSync('/missing')"))[0], "NotFound");
});

test("functions are called by name or given as expressions", async () => {
  assert.equal(await repl.call("add", [1, 2], signal), 3);
  assert.deepEqual(await repl.call("async (a, ...b) => ({ a, b })", [1, [2], null], signal), { a: 1, b: [[2], null] });
  await assert.rejects(repl.call("x", [], signal), /not a function/);
});

test("the user's output is the user's, and errors in callbacks do not end the session", async () => {
  await evaluate(
    "console.log('{\"id\":1}'); setTimeout(() => { throw new Error('late') }, 1); Promise.reject(new Error('unhandled')); 1",
  );
  assert.equal(await evaluate("await new Promise((done) => setTimeout(() => done('alive'), 50))"), "alive");
  assert.equal(output, '{"id":1}\n');
});

test("an end in the middle fails what waits, and what comes later", async () => {
  const waiting = evaluate("await new Promise(() => {})");
  const second = evaluate("1");
  program.kill("SIGKILL");
  await assert.rejects(waiting, OperationFailure);
  await assert.rejects(second, OperationFailure);
  await assert.rejects(evaluate("1"), OperationFailure);
  await repl.ended;
});

test("a guest that answers with nonsense ends its REPL and nothing else", async () => {
  for (const nonsense of [
    "nonsense\n",
    '{"id":"1"}\n',
    `{"id":1,"error":{"message":1}}\n`,
    "x".repeat(3_000_000),
    "[".repeat(900),
    `{"id":1,"ok":[${"{},".repeat(400_000)}1]}\n`,
  ]) {
    const answers = new PassThrough();
    const hostile = new Repl(1, { requests: new PassThrough().resume(), answers }, new Budget(2 ** 22));
    const waiting = hostile.evaluate("1", signal);
    answers.write(nonsense);
    answers.end();
    await assert.rejects(waiting, OperationFailure, nonsense.slice(0, 20));
  }
});
