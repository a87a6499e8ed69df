/** A process that is killed loses no machine: the next one takes over what is wanted and clears away the rest. */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive, type ProcessIdentity } from "@caisson/linux";
import { create, engine, sh, temporaryHome } from "./engine.ts";

async function ownerOf(
  home: string,
  ids: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ChildProcessByStdio<null, Readable, null>> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "owner.ts"), home, ...ids], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  assert.equal(String(line).trim(), "ready");
  return child;
}

test("after kill -9 the next process adopts what is wanted and ends the rest", { timeout: 240_000 }, async () => {
  const home = await temporaryHome();
  const owner = await ownerOf(home, ["wanted", "unwanted"]);
  owner.kill("SIGKILL");
  await once(owner, "exit");
  const node = await engine(home);
  try {
    const egress = { policy: {}, secrets: [] };
    const report = await node.start({
      wanted: [
        { id: "wanted", egress },
        { id: "never-existed", egress },
      ],
    });
    assert.deepEqual(report, { adopted: [{ id: "wanted", caCertificatePem: "" }], reclaimed: ["unwanted"] });
    assert.deepEqual(await node.machines.list(), report.adopted);
    const machine = { agent: node.machines.agent("wanted") };
    assert.equal(await sh(machine, "cat /home/app/name; pgrep -c sleep"), "wanted\n1");
    assert.ok((await node.machines.usage("wanted")).cpuMicros > 0);
    assert.equal((await readdir(join(home, "run"))).length, 1);
    await node.machines.stop("wanted");
    assert.deepEqual(await readdir(join(home, "run")), []);
  } finally {
    await node.close("end");
    await rm(home, { recursive: true, force: true });
  }
});

test("a machine whose end had begun is ended", { timeout: 240_000 }, async () => {
  const home = await temporaryHome();
  const owner = await ownerOf(home, ["ending"]);
  owner.kill("SIGKILL");
  await once(owner, "exit");
  const [key = ""] = await readdir(join(home, "run"));
  const path = join(home, "run", key, "machine.json");
  await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, "utf8")) as object), ending: true }));
  const node = await engine(home);
  try {
    await node.start({ wanted: [{ id: "ending", egress: { policy: {}, secrets: [] } }] });
    const { reason, detail } = await node.machines.waitExit("ending");
    assert.deepEqual([reason, detail], ["evicted", "Its end had begun when the former server ended."]);
    assert.deepEqual([await readdir(join(home, "run")), await readdir(join(home, "disks"))], [[], []]);
  } finally {
    await node.close("end");
    await rm(home, { recursive: true, force: true });
  }
});

test(
  "a machine of a newer version runs on, can be ended, and gives everything back",
  { timeout: 240_000 },
  async () => {
    const home = await temporaryHome();
    const owner = await ownerOf(home, ["newer", "nobodys"]);
    owner.kill("SIGKILL");
    await once(owner, "exit");
    for (const key of await readdir(join(home, "run"))) {
      const path = join(home, "run", key, "machine.json");
      const record = JSON.parse(await readFile(path, "utf8")) as object;
      await writeFile(path, JSON.stringify({ ...record, version: 2, memory: { now: "something else" } }));
    }
    const wanted = [{ id: "newer", egress: { policy: {}, secrets: [] } }];
    const first = await engine(home);
    let node = first;
    try {
      const report = await node.start({ wanted });
      assert.deepEqual([report.adopted, report.left], [[], ["newer"]]);
      // The one that nobody wants has ended.
      const [key, ...others] = await readdir(join(home, "run"));
      assert.ok(key !== undefined && others.length === 0);
      const recordPath = join(home, "run", key, "machine.json");
      const record = await readFile(recordPath, "utf8");
      const { process: monitor } = JSON.parse(record) as { process: ProcessIdentity };
      assert.ok(await isAlive(monitor));
      assert.throws(() => node.machines.agent("newer"), { code: "unavailable", message: /newer version/ });
      await node.close("leave");
      assert.ok(await isAlive(monitor));
      assert.equal(await readFile(recordPath, "utf8"), record);
      node = await engine(home);
      await node.start({ wanted });
      await node.machines.stop("newer");
      assert.ok(!(await isAlive(monitor)));
      assert.deepEqual([await readdir(join(home, "run")), await readdir(join(home, "disks"))], [[], []]);
    } finally {
      await node.close("end");
      await rm(home, { recursive: true, force: true });
    }
  },
);

test("machines that are left on purpose run on", { timeout: 240_000 }, async () => {
  const home = await temporaryHome();
  const first = await engine(home);
  try {
    await first.start({ wanted: [] });
    await create(first, { id: "left" });
    await first.close("leave");
    const second = await engine(home);
    // Without a policy it is adopted, too, and has no network.
    assert.deepEqual(await second.start({ wanted: [{ id: "left" }] }), { adopted: [{ id: "left" }], reclaimed: [] });
    assert.equal(await sh({ agent: second.machines.agent("left") }, "echo alive"), "alive");
    await second.close("end");
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});

test(
  "a machine that is paused because the disk is full is adopted, and goes on when there is space",
  { timeout: 120_000 },
  async () => {
    const home = await temporaryHome();
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=300m", "none", home]);
    const nodes = [];
    try {
      const owner = await ownerOf(home, ["writes"], { FILL: "yes" });
      const free = async () => {
        const { bavail, bsize } = await statfs(home);
        return bavail * bsize;
      };
      for (const end = performance.now() + 60_000; (await free()) > 0; await sleep(50))
        assert.ok(performance.now() < end);
      owner.kill("SIGKILL");
      await once(owner, "exit");
      const node = await engine(home);
      nodes.push(node);
      const report = await node.start({ wanted: [{ id: "writes" }] });
      assert.deepEqual(report, { adopted: [{ id: "writes" }], reclaimed: [] });
      const answer = sh({ agent: node.machines.agent("writes") }, "echo alive");
      const early = await Promise.race([answer, sleep(4000, "silent")]);
      assert.equal(early, "silent", "it is not paused, so this test tests nothing");
      assert.equal((await node.machines.list()).length, 1);
      execFileSync("mount", ["-o", "remount,size=2g", home]);
      assert.equal(await answer, "alive");
    } finally {
      for (const node of nodes) await node.close("end");
      execFileSync("umount", ["--lazy", home]);
      await rm(home, { recursive: true, force: true });
    }
  },
);
