import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Cgroups } from "../cgroup/cgroup.ts";
import { noCgroups } from "../cgroup/none.ts";
import { prepareDirectories } from "../runtime/directories.ts";
import { readRecord } from "../runtime/machine-record.ts";
import { MonitorUsers } from "../runtime/users.ts";
import { Holdings } from "./holdings.ts";

test("changes of a record at the same time lose nothing of each other", async () => {
  const home = await mkdtemp(join(tmpdir(), "caisson-holdings-"));
  try {
    const directories = await prepareDirectories(home);
    const host = { cgroups: noCgroups, groupPrefix: "test-", directories, users: new MonitorUsers() };
    const shape = { vcpus: 1, baseMemory: 512, pluggableMemory: 0, accelerator: "tcg" } as const;
    const holdings = await Holdings.create(host, { shape, memory: 512, template: "none" });
    const add = (serial: string) =>
      holdings.update(({ disks }) => ({
        disks: [...disks, { serial, root: false, readOnly: true, images: ["/none"] }],
      }));
    await Promise.all([add("one"), holdings.update({ ending: true }), add("two")]);
    const record = await readRecord(holdings.directories.run);
    assert.deepEqual([record?.ending, record?.disks.map(({ serial }) => serial)], [true, ["one", "two"]]);
    assert.deepEqual(record, holdings.record);
    await holdings.giveBack();
    assert.deepEqual(await readdir(directories.run), []);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});

test("when the record cannot be written, nothing is left", async () => {
  const home = await mkdtemp(join(tmpdir(), "caisson-holdings-"));
  try {
    const directories = await prepareDirectories(home);
    let groups = 0;
    const cgroups: Cgroups = {
      ...noCgroups,
      create: async (name, limits) => {
        // The next thing to be written there is the record.
        await rm(join(directories.run, name.slice("test-".length)), { recursive: true });
        groups++;
        return { ...(await noCgroups.create(name, limits)), destroy: async () => void groups-- };
      },
    };
    const host = { cgroups, groupPrefix: "test-", directories, users: new MonitorUsers() };
    const shape = { vcpus: 1, baseMemory: 512, pluggableMemory: 0, accelerator: "tcg" } as const;
    await assert.rejects(Holdings.create(host, { shape, memory: 512, template: "none" }), { code: "ENOENT" });
    assert.deepEqual([groups, await readdir(directories.run), await readdir(directories.disks)], [0, [], []]);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
