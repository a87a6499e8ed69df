/** A few rounds of chaos in every run of the tests. `node tests/chaos/main.ts` is for long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lineOf } from "./report/lines.ts";
import { run } from "./run.ts";

/** Draws a kill of server and machine in the first round, and a stop of the server with a kill of the egress worker in the second. */
const seed = "84";

test("two rounds: what was acknowledged is there, what was ended is gone, nothing is left", async (t) => {
  await run({ rounds: 2, seed, only: ["kill-server", "kill-machine", "kill-worker", "stop-server"] }, (verdict) => {
    t.diagnostic(lineOf(seed, verdict));
    assert.deepEqual(verdict.problems, [], lineOf(seed, verdict));
  });
});
