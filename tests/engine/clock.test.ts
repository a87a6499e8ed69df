/** The wall clock of the host is set while the node runs: nothing stops working, and nothing ends. */
import assert from "node:assert/strict";
import { readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { create, type Created, engine, sh, temporaryHome, withEngine } from "./engine.ts";

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

/** Pauses a machine by its monitor, which nobody else must be connected to. */
async function stopFor(milliseconds: number, monitor: string): Promise<void> {
  const socket = connect(monitor);
  socket.resume();
  const execute = (command: string) => socket.write(`${JSON.stringify({ execute: command })}\n`);
  execute("qmp_capabilities");
  execute("stop");
  await sleep(milliseconds);
  await new Promise<void>((resolve) => {
    socket.on("data", (data: Buffer) => data.includes('"RESUME"') && resolve());
    execute("cont");
  });
  socket.destroy();
}

/** How far the guest's clock is ahead of the host's, milliseconds. The question and its answer take a moment. */
async function ahead(machine: Pick<Created, "agent">): Promise<number> {
  const before = Date.now();
  const guest = Number(await sh(machine, "date +%s%3N"));
  return guest < before ? guest - before : Math.max(0, guest - Date.now());
}

test("after the host was suspended a running machine has the right time again", { timeout: 120_000 }, () =>
  withEngine({}, async (node) => {
    const machine = await create(node);
    const { now } = Date;
    try {
      // As after a suspension: the wall clock went on, and the monotonic one stood still.
      Date.now = () => now() + 90_000;
      const end = performance.now() + 30_000;
      while (Math.abs(await ahead(machine)) >= 1000)
        assert.ok(performance.now() < end, `the clock of the machine is ${await ahead(machine)} ms ahead`);
    } finally {
      Date.now = now;
    }
  }),
);

test(
  "a machine that was stopped while no node watched has the right time when it is adopted",
  { timeout: 180_000 },
  async () => {
    const home = await temporaryHome();
    const first = await engine(home);
    await first.start({ wanted: [] });
    const machine = await create(first);
    await first.close("leave");
    const [key = ""] = await readdir(join(home, "run"));
    await stopFor(4000, join(home, "run", key, "qmp.sock"));
    const second = await engine(home);
    try {
      await second.start({ wanted: [{ id: machine.id, egress: { policy: {}, secrets: [] } }] });
      const adopted = { agent: second.machines.agent(machine.id) };
      const end = performance.now() + 30_000;
      while (Math.abs(await ahead(adopted)) >= 1000)
        assert.ok(performance.now() < end, `the clock of the machine is ${await ahead(adopted)} ms ahead`);
    } finally {
      await second.close("end");
      await rm(home, { recursive: true, force: true });
    }
  },
);
