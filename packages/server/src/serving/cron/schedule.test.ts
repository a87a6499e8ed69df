import assert from "node:assert/strict";
import { test } from "node:test";
import { nextTime } from "./schedule.ts";

/** A Monday. */
const from = Date.UTC(2026, 10, 30, 16, 0, 0);
const next = (schedule: string) => {
  const at = nextTime(schedule, from);
  return at === undefined ? undefined : new Date(at).toISOString().slice(0, 16);
};

test("schedules are in UTC, and weeks begin with 1, a Sunday", () => {
  assert.equal(next("* * * * *"), "2026-11-30T16:01");
  assert.equal(next("0 */2 * * *"), "2026-11-30T18:00");
  assert.equal(next("5/10 * * * *"), "2026-11-30T16:05");
  assert.equal(next("0 12 * * 2"), "2026-12-07T12:00");
  assert.equal(next("0 12 * * mon"), "2026-12-07T12:00");
  assert.equal(next("0 0 L * *"), "2026-12-31T00:00");
  // Never the time itself.
  assert.equal(nextTime("0 16 * * *", from), from + 24 * 3600_000);
});

test("what is no schedule, or has no time, is refused soon", () => {
  for (const text of ["", "bogus", "* * * * * *", "@daily", "? * * * *", "61 * * * *", "* * * *", "a\u0000 * * * *"])
    assert.equal(nextTime(text, from), undefined, text);
  assert.equal(nextTime("0 0 30 2 *", from), undefined);
  assert.equal(nextTime(`${"1,".repeat(150)}1 * * * *`, from), undefined);
});
