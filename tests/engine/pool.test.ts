/** The pool hands out clones that are as good as fresh ones, and refills itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { SandboxNode } from "@caisson/protocol";
import { create, sh, withEngine } from "./engine.ts";

async function pooled(node: SandboxNode, count: number): Promise<void> {
  const end = Date.now() + 60_000;
  for (;;) {
    const { pooled: held } = await node.status();
    if (held >= count) return;
    assert.ok(Date.now() < end, `the pool holds ${held}, not ${count}`);
    await sleep(100);
  }
}

test("a pooled clone takes its owner's name, time, environment and memory", { timeout: 180_000 }, () =>
  withEngine({ pool: 1 }, async (node) => {
    await pooled(node, 1);
    // While it waits, a clone is stopped; its clock does not advance.
    await sleep(2000);
    const machine = await create(node, { hostname: "owner", env: { GREETING: "hello" }, memory: 1536 });
    const status = await node.status();
    assert.equal(status.pooled, 0);
    assert.deepEqual(status.started, { pool: 1, prepared: 0, restore: 0, checkpoint: 0 });
    assert.equal(await sh(machine, "hostname; echo $GREETING"), "owner\nhello");
    assert.ok(Math.abs(Number(await sh(machine, "date +%s")) - Date.now() / 1000) < 2);
    await sleep(500);
    const total = Number(await sh(machine, "free -m | awk '/^Mem:/ { print $2 }'"));
    assert.ok(Math.abs(total - 1536) <= 8, `free shows ${total}`);
    await pooled(node, 1);
  }),
);
