/** Rows 81-85: the Deno REPL. */
import assert from "node:assert/strict";
import { rejection, within, type Scenario } from "../runner/scenario.ts";

export const scenarios: readonly Scenario[] = [
  {
    row: 81,
    title: "evaluate once: value, promise, TypeScript, nothing",
    async run({ sandbox }) {
      assert.equal(await sandbox.deno.eval("const x: number = 20; x + 22"), 42);
      assert.deepEqual(await sandbox.deno.eval("await Promise.resolve({ a: [1, 'two', null] })"), {
        a: [1, "two", null],
      });
    },
  },
  {
    row: 82,
    title: "start with arguments, environment, directory; output is apart from values",
    async run({ sandbox }) {
      const repl = await sandbox.deno.repl({ scriptArgs: ["x"], env: { A_B: "c" }, cwd: "/tmp", stdout: "piped" });
      assert.deepEqual(await repl.eval("console.log('printed'); [Deno.args, Deno.env.get('A_B'), Deno.cwd()]"), [
        ["x"],
        "c",
        "/tmp",
      ]);
      const reader = repl.stdout!.getReader();
      assert.match(new TextDecoder().decode((await reader.read()).value), /printed/);
      await reader.cancel(new Error("enough"));
      await repl.close();
    },
  },
  {
    row: 83,
    title: "state is kept; undefined is null; errors keep their class and leave the REPL usable",
    async run({ sandbox }) {
      await using repl = await sandbox.deno.repl();
      assert.equal(await repl.eval("const kept = 1;"), null);
      assert.equal(await repl.eval("let more = kept + 1;\nmore *= 10;\nmore"), 20);
      const error = await rejection(repl.eval("throw new RangeError('too far')"));
      assert.equal(error.constructor.name, "RangeError");
      assert.match(error.message, /too far/);
      assert.equal((await rejection(repl.eval("syntax error here"))).constructor.name, "SyntaxError");
      assert.equal(await repl.eval("kept"), 1);
      assert.deepEqual(await repl.eval("({ text: 'ü', list: [true, 1.5], nothing: undefined })"), {
        text: "ü",
        list: [true, 1.5],
      });
    },
  },
  {
    row: 84,
    title: "call by name and by expression, also asynchronous",
    async run({ sandbox }) {
      await using repl = await sandbox.deno.repl();
      await repl.eval("function add(a, b) { return a + b; }");
      assert.equal(await repl.call("add", 1, 2), 3);
      assert.equal(await repl.call("(a, b) => a * b", 6, 7), 42);
      assert.deepEqual(await repl.call("async (o) => ({ ...o, seen: true })", { x: [1] }), { x: [1], seen: true });
      assert.equal((await rejection(repl.call("() => { throw new TypeError('no') }"))).constructor.name, "TypeError");
    },
  },
  {
    row: 85,
    title: "close ends the process; twice is fine",
    async run({ sandbox }) {
      const repl = await sandbox.deno.repl();
      assert.equal(await repl.eval("1"), 1);
      await repl.close();
      await within(10_000, "the end of the REPL", repl.status);
      assert.equal(await within(5_000, "httpReady", repl.httpReady), false);
      await repl.close();
      await rejection(repl.eval("1"));
    },
  },
];
