import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { type MachineRecord, readRecord, writeRecord } from "./machine-record.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-record-"));
});
afterEach(() => rm(directory, { recursive: true }));

const record: MachineRecord = {
  version: 1,
  key: "0123456789ab",
  phase: "claimed",
  machineId: "sbx",
  template: "t",
  memory: 1280,
  vcpus: 2,
  process: { pid: 4711, startTime: "1", bootId: "b" },
  cgroups: ["/cg"],
  cpuBaseMicros: 1,
  disks: [{ serial: "data", root: false, readOnly: false, images: ["/a", "/b"] }],
};

test("what was written is read, and nothing else is left in the directory", async () => {
  await writeRecord(directory, record);
  await writeRecord(directory, { ...record, phase: "pooled" });
  assert.deepEqual(await readRecord(directory), { ...record, phase: "pooled" });
  assert.equal((await readdir(directory)).length, 1);
});

test("half a record, a foreign one and none at all are no record", async () => {
  assert.equal(await readRecord(directory), undefined);
  const path = join(directory, "machine.json");
  await writeFile(path, JSON.stringify(record).slice(0, 40));
  assert.equal(await readRecord(directory), undefined);
  // Process 1 must never be killed for a record's sake.
  for (const change of [
    { version: 2 },
    { key: "../x" },
    { process: { pid: 1, startTime: "1", bootId: "b" } },
    { extra: 1 },
  ]) {
    await writeFile(path, JSON.stringify({ ...record, ...change }));
    assert.equal(await readRecord(directory), undefined);
  }
});
