import assert from "node:assert/strict";
import { test } from "node:test";
import { sourcesOf, transitions, type Phase } from "./phases.ts";

test("every phase leads to the end, and nothing leads back", () => {
  const reach = (phase: Phase): Set<Phase> => new Set(transitions[phase].flatMap((next) => [next, ...reach(next)]));
  for (const phase of Object.keys(transitions) as Phase[]) {
    assert.ok(phase === "stopped" || reach(phase).has("stopped"), phase);
    assert.ok(!reach(phase).has(phase), phase);
  }
  assert.deepEqual(sourcesOf("stopping"), ["creating", "running"]);
});
