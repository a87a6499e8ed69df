/** One sandbox's handshakes leave room for what others ask. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { turns } from "./turns.ts";

test("so many begin in a turn, in order, and none is forgotten", async () => {
  const turn = turns(3);
  const begun: number[] = [];
  const all = Array.from({ length: 8 }, async (_, index) => {
    await turn();
    begun.push(index);
  });
  const counts: number[] = [];
  while (begun.length < 8) {
    await nextTurn();
    counts.push(begun.length);
  }
  await Promise.all(all);
  assert.deepEqual(begun, [0, 1, 2, 3, 4, 5, 6, 7]);
  // The first began at once, and the second turn comes before it is looked at.
  for (const [index, count] of counts.entries()) assert.ok(count <= 3 * (index + 2), counts.join());
  // After a pause the same again.
  await nextTurn();
  await nextTurn();
  await Promise.all([turn(), turn(), turn(), turn()]);
});
