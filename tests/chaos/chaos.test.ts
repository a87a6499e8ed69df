/** A few rounds of chaos in every run of the tests. `node tests/chaos/main.ts` is for long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lineOf } from "./report/lines.ts";
import { run } from "./run.ts";

const seed = "npm-test";

test("three rounds: what was acknowledged is there, what was ended is gone, nothing is left", async (t) => {
  await run({ rounds: 3, seed, only: ["kill-server", "kill-machine", "kill-worker", "stop-server"] }, (verdict) => {
    t.diagnostic(lineOf(seed, verdict));
    assert.deepEqual(verdict.problems, [], lineOf(seed, verdict));
  });
});
