/** Who gets memory, and who has to give it back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryLedger } from "./ledger.ts";
import { chooseVictim } from "./victim.ts";

const GiB = 2 ** 30;

test("limits add up to physical memory times the factor, and no further", () => {
  const ledger = new MemoryLedger({ physical: 4 * GiB, factor: 1.5 });
  ledger.reserve("a", 4 * GiB);
  ledger.reserve("b", 2 * GiB);
  assert.throws(() => ledger.reserve("c", 1), {
    code: "resource_exhausted",
    message: /6144 of 6144 MiB.*memoryOvercommit/,
  });
  ledger.release("b");
  ledger.reserve("c", 2 * GiB);
  // What runs already is counted, whatever the limit.
  ledger.adopt("d", GiB);
  ledger.release("c");
  assert.throws(() => ledger.reserve("e", 1.5 * GiB), { code: "resource_exhausted" });
  ledger.reserve("e", GiB);
});

test("the heaviest machine of the owner that uses most ends, not the heaviest of all", () => {
  const machines = [
    { id: "one", owner: "small", used: 3 * GiB },
    { id: "two", owner: "large", used: 2 * GiB },
    { id: "three", owner: "large", used: 1.5 * GiB },
  ];
  assert.equal(chooseVictim(machines)?.id, "two");
  assert.equal(chooseVictim(machines.slice(0, 2))?.id, "one");
  assert.equal(chooseVictim([]), undefined);
});
