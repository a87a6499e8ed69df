import assert from "node:assert/strict";
import { test } from "node:test";
import type { TreeEntry } from "@caisson/protocol";
import { preludeOption } from "./cron/prelude.ts";
import { preload } from "./marks.ts";
import { programOf } from "./program.ts";

const tree = (...paths: string[]): TreeEntry[] =>
  paths.map((path) => ({ kind: "file", path, digest: "", bytes: 0, executable: false }));
const run = (entrypoint: string, files: TreeEntry[], also: object = {}) =>
  programOf({ runtime: { type: "dynamic", entrypoint, ...also } }, files);

test("Deno runs everything but JavaScript of a project for Node.js", () => {
  assert.deepEqual(run("server.ts", tree("server.ts"), { args: ["-x"] }), {
    command: "deno",
    args: ["run", "-A", "--preload", preload, preludeOption(), "./server.ts", "-x"],
    cwd: "/app/src",
    file: "./server.ts",
  });
  assert.equal(run("main.js", tree("main.js", "package.json")).command, "node");
  assert.equal(run("bin/next", tree("bin/next", "package.json")).command, "node");
  assert.equal(run("main.ts", tree("main.ts", "package.json")).command, "deno");
  assert.equal(run("main.js", tree("main.js", "package.json", "deno.json")).command, "deno");
  assert.deepEqual(run("--eval.js", tree("sub/--eval.js"), { cwd: "./sub/" }), {
    command: "deno",
    args: ["run", "-A", "--preload", preload, preludeOption(), "./--eval.js"],
    cwd: "/app/src/sub",
    file: "./--eval.js",
  });
});

test("a revision that does not say what to run runs main.ts", () => {
  assert.deepEqual(programOf({}, tree("main.ts")).args, [
    "run",
    "-A",
    "--preload",
    preload,
    preludeOption(),
    "./main.ts",
  ]);
});

test("an entrypoint that is not there, or not in the app, is refused", () => {
  for (const entrypoint of ["missing.ts", "../etc/passwd", "/etc/passwd", "."])
    assert.throws(() => run(entrypoint, tree("main.ts")), { code: "invalid_argument" }, entrypoint);
  assert.throws(() => programOf({}, tree("other.ts")), { code: "invalid_argument", message: /"main.ts" is not among/ });
  assert.throws(() => programOf({ framework: "lume" }, tree("main.ts")), { code: "invalid_argument" });
});
