/** The adapters against directories that look like cgroups. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { pino } from "pino";
import { detectCgroups } from "./detect.ts";
import { createV1, v1Hierarchies } from "./v1.ts";
import { createV2 } from "./v2.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "caisson-cgroup-"));
});
afterEach(() => rm(root, { recursive: true }));

const limits = { cpus: 1.5, memoryBytes: 2 ** 30, tasks: 200 };

test("version 2: limits, priority, accounting, neighbours", async () => {
  await writeFile(join(root, "cgroup.controllers"), "cpuset cpu io memory pids\n");
  const cgroups = await createV2(root);
  assert.equal(await readFile(join(root, "cgroup.subtree_control"), "utf8"), "+cpu +memory +pids +io");
  const group = await cgroups.create("abc-1", limits);
  const file = (name: string) => readFile(join(root, "caisson/abc-1", name), "utf8");
  assert.equal(await file("cpu.max"), "150000 100000");
  assert.equal(await file("memory.max"), String(2 ** 30));
  assert.equal(await file("pids.max"), "200");
  await group.setPriority("background");
  assert.ok(Number(await file("cpu.weight")) < 100);
  await writeFile(join(root, "caisson/abc-1/cpu.stat"), "usage_usec 1234\nuser_usec 1000\n");
  assert.equal(await group.cpuMicros(), 1234);
  assert.equal(await cgroups.open(group.directories).cpuMicros(), 1234);
  await cgroups.create("other-1", limits);
  assert.deepEqual(await cgroups.list("abc-"), ["abc-1"]);
});

test("version 2 without the controllers is refused", async () => {
  await writeFile(join(root, "cgroup.controllers"), "cpuset io\n");
  await assert.rejects(createV2(root), /cpu, memory, pids/);
});

test("version 1: each controller in its own hierarchy, some in one", async () => {
  const mounts = [
    `cgroup ${root}/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0`,
    `cgroup ${root}/memory cgroup rw,memory 0 0`,
    `cgroup ${root}/pids cgroup rw,pids 0 0`,
    `cgroup2 ${root}/unified cgroup2 rw 0 0`,
  ].join("\n");
  const hierarchies = v1Hierarchies(mounts);
  assert.equal(hierarchies.get("cpuacct"), `${root}/cpu,cpuacct`);
  for (const name of ["cpu,cpuacct", "memory", "pids"]) await mkdir(join(root, name));
  const cgroups = await createV1(hierarchies);
  const group = await cgroups.create("abc-1", limits);
  assert.equal(group.joinFiles.length, 3);
  const file = (name: string) => readFile(join(root, name), "utf8");
  assert.equal(await file("cpu,cpuacct/caisson/abc-1/cpu.cfs_quota_us"), "150000");
  assert.equal(await file("memory/caisson/abc-1/memory.limit_in_bytes"), String(2 ** 30));
  assert.equal(await file("pids/caisson/abc-1/pids.max"), "200");
  await writeFile(join(root, "cpu,cpuacct/caisson/abc-1/cpuacct.usage"), "5000000\n");
  assert.equal(await group.cpuMicros(), 5000);
  await group.setMemoryLimit(2 ** 31);
  assert.equal(await file("memory/caisson/abc-1/memory.limit_in_bytes"), String(2 ** 31));
});

test("version 1 with a controller missing is refused", async () => {
  await assert.rejects(createV1(new Map([["cpu", root]])), /cpuacct/);
});

test("memory and swap together are limited, in the order that the kernel wants", async () => {
  for (const name of ["cpu", "cpuacct", "memory", "pids"]) await mkdir(join(root, name));
  const cgroups = await createV1(new Map(["cpu", "cpuacct", "memory", "pids"].map((name) => [name, join(root, name)])));
  const group = await cgroups.create("abc-1", limits);
  const file = (name: string) => join(root, "memory/caisson/abc-1", name);
  await writeFile(file("memory.memsw.limit_in_bytes"), "0");
  await group.setMemoryLimit(2 ** 29);
  assert.equal(await readFile(file("memory.memsw.limit_in_bytes"), "utf8"), String(2 ** 29));
});

test("where the host has weights for disks, all machines together weigh less than the server", async () => {
  await writeFile(join(root, "cgroup.controllers"), "cpu io memory pids\n");
  await mkdir(join(root, "caisson/abc-1"), { recursive: true });
  for (const directory of ["caisson", "caisson/abc-1"]) await writeFile(join(root, directory, "io.weight"), "");
  const cgroups = await createV2(root);
  assert.ok(Number(await readFile(join(root, "caisson/io.weight"), "utf8")) < 100);
  await cgroups.named("abc-1").setPriority("background");
  assert.equal(await readFile(join(root, "caisson/abc-1/io.weight"), "utf8"), "10");
});

test("a host without usable cgroups is refused unless the operator allows it, who is told what is lost", async () => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  const nothing = { log, mounts: "proc /proc proc rw 0 0" };
  await assert.rejects(detectCgroups({ ...nothing, allowNone: false }), {
    code: "unsupported",
    message: /allowWithoutCgroups/,
  });
  assert.equal((await detectCgroups({ ...nothing, allowNone: true })).kind, "none");
  assert.match(lines.join(), /no limits on memory, swap/);
});

test("on this host, a limit can grow and shrink, and nothing is swapped", async (context) => {
  const cgroups = await detectCgroups({ allowNone: true, log: pino({ level: "silent" }) });
  if (cgroups.kind === "none") return context.skip("no usable cgroups");
  const v2: boolean = cgroups.kind === "v2";
  const group = await cgroups.create(`test-${process.pid}`, limits);
  try {
    const memory = group.directories.find((directory) => v2 || directory.includes("memory"))!;
    for (const bytes of [2 ** 30, 2 ** 31, 2 ** 29]) {
      await group.setMemoryLimit(bytes);
      const read = async (name: string) => (await readFile(join(memory, name), "utf8").catch(() => "")).trim();
      assert.equal(await read(v2 ? "memory.max" : "memory.limit_in_bytes"), String(bytes));
      const swap = await read(v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes");
      // Empty: the host does not count swap.
      assert.ok(["", v2 ? "0" : String(bytes)].includes(swap), swap);
    }
    await group.setPriority("background");
  } finally {
    await group.destroy();
  }
});

test("an empty group is removed", async () => {
  await writeFile(join(root, "cgroup.controllers"), "cpu memory pids\n");
  const cgroups = await createV2(root);
  const group = cgroups.named("gone");
  await group.destroy();
  assert.deepEqual(await cgroups.list("gone"), []);
});
