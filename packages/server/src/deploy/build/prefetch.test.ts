import assert from "node:assert/strict";
import { test } from "node:test";
import type { TreeEntry } from "@caisson/protocol";
import { prefetchOf } from "./prefetch.ts";

const tree = (...paths: string[]): TreeEntry[] =>
  paths.map((path) => ({ kind: "file", path, digest: "", bytes: 0, executable: false }));

test("what Deno runs, and says that it has dependencies, has them downloaded", () => {
  const entrypoint = (name: string, cwd?: string) => ({
    runtime: { type: "dynamic" as const, entrypoint: name, ...(cwd !== undefined && { cwd }) },
  });
  assert.match(prefetchOf({}, tree("deno.json", "main.ts"))!, /deno cache '\/app\/src\/\.\/main\.ts'/);
  // Its build makes the entrypoint.
  assert.match(prefetchOf({ framework: "fresh" }, tree("deno.json"))!, /'\/app\/src\/\.\/_fresh\/server\.js'/);
  assert.match(prefetchOf(entrypoint("it's.ts", "sub"), tree("deno.lock", "sub/it's.ts"))!, /sub\/\.\/it'\\''s\.ts'/);
  assert.equal(prefetchOf({}, tree("main.ts")), undefined);
  assert.equal(prefetchOf(entrypoint("main.js"), tree("package.json", "main.js")), undefined);
  assert.equal(prefetchOf({ framework: "lume" }, tree("deno.json")), undefined);
  assert.equal(prefetchOf(entrypoint("../main.ts"), tree("deno.json")), undefined);
});
