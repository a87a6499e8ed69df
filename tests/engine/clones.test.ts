/** Two clones of one template share no identity and no random state. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, sh, withEngine } from "./engine.ts";

test("clones have their own random numbers, machine id, boot id, host name and clock", { timeout: 180_000 }, () =>
  withEngine({}, async (node) => {
    const machines = await Promise.all(["first", "second"].map((hostname) => create(node, { hostname })));
    const facts = await Promise.all(
      machines.map(async (machine) => ({
        random: await sh(machine, "head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n'"),
        machineId: await sh(machine, "cat /etc/machine-id"),
        bootId: await sh(machine, "cat /proc/sys/kernel/random/boot_id"),
        hostname: await sh(machine, "hostname"),
        now: Number(await sh(machine, "date +%s")),
      })),
    );
    const [first, second] = facts;
    assert.ok(first && second);
    assert.notEqual(first.random, second.random);
    assert.match(first.machineId, /^[0-9a-f]{32}$/);
    assert.notEqual(first.machineId, second.machineId);
    assert.notEqual(first.bootId, second.bootId);
    assert.deepEqual([first.hostname, second.hostname], ["first", "second"]);
    for (const { now } of facts) assert.ok(Math.abs(now - Date.now() / 1000) < 10, `clock is off: ${now}`);
  }),
);

test("what one clone writes, another does not see", { timeout: 180_000 }, () =>
  withEngine({}, async (node) => {
    const first = await create(node);
    await sh(first, "echo mine > /home/app/file && sync");
    await node.machines.stop(first.id);
    const second = await create(node);
    assert.equal(await sh(second, "ls /home/app/file 2>/dev/null || echo none"), "none");
  }),
);
