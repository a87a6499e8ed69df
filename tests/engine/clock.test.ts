/** The wall clock of the host is set while the node runs: nothing stops working, and nothing ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { create, sh, withEngine } from "./engine.ts";

const hour = 3_600_000;

test("a clock that is set by an hour empties no pool and ends no machine", { timeout: 120_000 }, () =>
  withEngine({ pool: 1 }, async (node) => {
    const { now } = Date;
    try {
      const machines = [];
      for (const step of [-hour, hour]) {
        machines.push(await create(node));
        Date.now = () => now() + step;
        const end = performance.now() + 20_000;
        while ((await node.status()).pooled === 0) {
          assert.ok(performance.now() < end, `the pool is not filled again after a step of ${step / hour} hours`);
          await sleep(100);
        }
      }
      // The last step was an hour ahead, and new machines have the clock of their host.
      machines.push(await create(node));
      const ahead = Number(await sh(machines.at(-1)!, "date +%s")) - now() / 1000;
      assert.ok(Math.abs(ahead - hour / 1000) < 10, `the guest's clock is ${ahead} s ahead`);
      for (const machine of machines) assert.equal(await sh(machine, "echo alive"), "alive");
    } finally {
      Date.now = now;
    }
  }),
);
