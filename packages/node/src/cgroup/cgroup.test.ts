/** The adapters against directories that look like cgroups. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
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
  assert.equal(await readFile(join(root, "cgroup.subtree_control"), "utf8"), "+cpu +memory +pids");
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

test("an empty group is removed", async () => {
  await writeFile(join(root, "cgroup.controllers"), "cpu memory pids\n");
  const cgroups = await createV2(root);
  const group = cgroups.named("gone");
  await group.destroy();
  assert.deepEqual(await cgroups.list("gone"), []);
});
