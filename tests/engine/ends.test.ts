/** However a machine ends, its owner hears of it and the node gets everything back. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { create, engine, machineSpec, sh, temporaryHome, withEngine } from "./engine.ts";

/** Processes of this home's machines: the jail's command line names their disk directory. */
function monitorsOf(home: string): number {
  return Number(
    execFileSync("sh", ["-c", `grep -lzs '^${home}/disks/' /proc/[0-9]*/cmdline | wc -l`], { encoding: "utf8" }),
  );
}

interface Held {
  readonly pid: number;
  /** Directories of control groups. Empty on a host that gives us none. */
  readonly cgroups: readonly string[];
}

/** What the only machine of this home holds on the node, from its record. */
async function heldBy(home: string): Promise<Held> {
  const [key = ""] = await readdir(join(home, "run"));
  const record = JSON.parse(await readFile(join(home, "run", key, "machine.json"), "utf8")) as {
    process: { pid: number };
    cgroups: string[];
  };
  return { pid: record.process.pid, cgroups: record.cgroups };
}

test("five machines, ended in three ways, leave nothing behind", { timeout: 240_000 }, async () => {
  const home = await temporaryHome();
  const node = await engine(home);
  try {
    await node.start({ wanted: [] });
    for (let round = 0; round < 5; round++) {
      const machine = await create(node);
      assert.equal(monitorsOf(home), 1);
      const { pid, cgroups } = await heldBy(home);
      // The monitor runs in each of them, or they would say nothing about what is left behind.
      for (const group of cgroups)
        assert.ok((await readFile(join(group, "cgroup.procs"), "utf8")).split("\n").includes(String(pid)), group);
      const exited = node.machines.waitExit(machine.id);
      if (round % 3 === 0) await node.machines.stop(machine.id);
      // The guest's own power switch, if it has one: what it does, it does from inside.
      else if (round % 3 === 1)
        await machine.agent.processes.spawn({ command: "sudo", args: ["sh", "-c", "echo o > /proc/sysrq-trigger"] });
      else process.kill(pid, "SIGKILL");
      const { reason } = await exited;
      assert.equal(reason, round % 3 === 2 ? "crashed" : "stopped");
      assert.deepEqual(await node.machines.list(), []);
      assert.throws(() => node.machines.agent(machine.id), { code: "unavailable" });
      await machine.agent.closed;
      await assert.rejects(machine.agent.machine.hello({}));
      assert.deepEqual(cgroups.filter(existsSync), []);
    }
    assert.deepEqual(await readdir(join(home, "run")), []);
    assert.deepEqual(await readdir(join(home, "disks")), []);
    assert.equal(monitorsOf(home), 0);
    const { ended, started } = await node.status();
    assert.deepEqual(ended, { stopped: 4, crashed: 1, evicted: 0 });
    assert.deepEqual(started, { pool: 0, prepared: 0, restore: 5, checkpoint: 0 });
  } finally {
    await node.close("end");
    await rm(home, { recursive: true, force: true });
  }
});

test("a guest that panics is reported with its last words", { timeout: 120_000 }, () =>
  withEngine({}, async (node) => {
    const machine = await create(node);
    const exited = node.machines.waitExit(machine.id);
    await machine.agent.processes.spawn({ command: "sudo", args: ["sh", "-c", "echo c > /proc/sysrq-trigger"] });
    const exit = await exited;
    assert.equal(exit.reason, "crashed");
    assert.match(exit.detail, /guest/);
  }),
);

test("a create that is cancelled leaves nothing behind", { timeout: 120_000 }, async () => {
  const home = await temporaryHome();
  const node = await engine(home);
  try {
    await node.start({ wanted: [] });
    const abort = new AbortController();
    const creating = node.machines.create(machineSpec(), { signal: abort.signal });
    creating.catch(() => undefined);
    // Earlier there would be nothing that could be left behind.
    for (const end = Date.now() + 30_000; monitorsOf(home) === 0; await sleep(2)) assert.ok(Date.now() < end);
    abort.abort();
    await assert.rejects(creating);
    assert.deepEqual(await readdir(join(home, "run")), []);
    assert.equal(monitorsOf(home), 0);
    const machine = await create(node);
    assert.equal(await sh(machine, "echo alive"), "alive");
  } finally {
    await node.close("end");
    await rm(home, { recursive: true, force: true });
  }
});

test("a stop that fails is not forgotten and can be repeated", { timeout: 120_000 }, () =>
  withEngine({}, async (node, home) => {
    const { id } = await create(node);
    const { cgroups } = await heldBy(home);
    const [run, aside] = [join(home, "run"), join(home, "run.aside")];
    // The directory of the machine cannot be removed: a file takes the place of the one that holds it.
    await rename(run, aside);
    await writeFile(run, "");
    await assert.rejects(node.machines.stop(id));
    assert.deepEqual(
      (await node.machines.list()).map((machine) => machine.id),
      [id],
    );
    assert.equal((await node.status()).machines, 1);
    await rm(run);
    await rename(aside, run);
    const exited = node.machines.waitExit(id);
    await node.machines.stop(id);
    assert.equal((await exited).reason, "stopped");
    assert.deepEqual(await node.machines.list(), []);
    assert.deepEqual((await node.status()).ended, { stopped: 1, crashed: 0, evicted: 0 });
    assert.deepEqual(await readdir(run), []);
    assert.deepEqual(cgroups.filter(existsSync), []);
  }),
);
