/** However a machine ends, its owner hears of it and the host gets everything back. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { engine, machineSpec, sh, temporaryHome, withEngine } from "./engine.ts";

/** Processes whose command line names this home's machines: the sockets are bound by us, so by their disk directory. */
function monitorsOf(home: string): number {
  return Number(
    execFileSync("sh", ["-c", `grep -lzs '^${home}/disks/' /proc/[0-9]*/cmdline | wc -l`], { encoding: "utf8" }),
  );
}

/** Control groups of this home's machines; other installations on the host have other prefixes. */
function groups(home: string): number {
  const prefix = createHash("sha256").update(home).digest("hex").slice(0, 8);
  return Number(
    execFileSync("sh", ["-c", `find /sys/fs/cgroup -path '*/caisson/${prefix}-*' -type d 2>/dev/null | wc -l`], {
      encoding: "utf8",
    }),
  );
}

test("five machines, ended in three ways, leave nothing behind", { timeout: 240_000 }, async () => {
  const home = await temporaryHome();
  const node = await engine(home);
  try {
    await node.start({ wanted: () => false });
    for (let round = 0; round < 5; round++) {
      const machine = await node.create(machineSpec());
      assert.equal(monitorsOf(home), 1);
      if (round % 3 === 0) await machine.stop();
      // The guest's own power switch, if it has one: what it does, it does from inside.
      else if (round % 3 === 1)
        await machine.agent.processes.spawn({ command: "sudo", args: ["sh", "-c", "echo o > /proc/sysrq-trigger"] });
      else process.kill(monitorPid(home), "SIGKILL");
      const { reason } = await machine.exited;
      assert.equal(reason, round % 3 === 2 ? "crashed" : "stopped");
      assert.equal(node.get(machine.id), undefined);
      await machine.agent.closed;
      await assert.rejects(machine.agent.machine.hello({}));
    }
    assert.deepEqual(await readdir(join(home, "run")), []);
    assert.deepEqual(await readdir(join(home, "disks")), []);
    assert.equal(monitorsOf(home), 0);
    assert.equal(groups(home), 0);
  } finally {
    await node.close("end");
    await rm(home, { recursive: true, force: true });
  }
});

function monitorPid(home: string): number {
  const files = execFileSync("sh", ["-c", `cat ${home}/run/*/machine.json`], { encoding: "utf8" });
  return (JSON.parse(files) as { process: { pid: number } }).process.pid;
}

test("a guest that panics is reported with its last words", { timeout: 120_000 }, () =>
  withEngine({}, async (node) => {
    const machine = await node.create(machineSpec());
    await machine.agent.processes.spawn({ command: "sudo", args: ["sh", "-c", "echo c > /proc/sysrq-trigger"] });
    const exit = await machine.exited;
    assert.equal(exit.reason, "crashed");
    assert.match(exit.detail, /guest/);
  }),
);

test("a create that is cancelled leaves nothing behind", { timeout: 120_000 }, async () => {
  const home = await temporaryHome();
  const node = await engine(home);
  try {
    await node.start({ wanted: () => false });
    const abort = new AbortController();
    const creating = node.create(machineSpec(), { signal: abort.signal });
    setTimeout(() => abort.abort(), 150);
    await assert.rejects(creating);
    assert.deepEqual(await readdir(join(home, "run")), []);
    assert.equal(monitorsOf(home), 0);
    const machine = await node.create(machineSpec());
    assert.equal(await sh(machine, "echo alive"), "alive");
  } finally {
    await node.close("end");
    await rm(home, { recursive: true, force: true });
  }
});
