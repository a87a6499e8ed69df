import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { type MachineRecord, readNewerRecord, readRecord, writeRecord } from "./machine-record.ts";

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

test("fields of a later version are kept, and a newer record is told from a damaged one", async () => {
  const path = join(directory, "machine.json");
  const later = { ...record, added: { a: 1 }, disks: [{ ...record.disks[0], added: true }] };
  await writeFile(path, JSON.stringify(later));
  const read = await readRecord(directory);
  assert.deepEqual(read, later);
  await writeRecord(directory, { ...read, memory: 2048 });
  assert.deepEqual(await readRecord(directory), { ...later, memory: 2048 });
  assert.equal(await readNewerRecord(directory), undefined);
  await writeFile(path, JSON.stringify({ ...record, version: 2, memory: "changed" }));
  assert.equal(await readRecord(directory), undefined);
  assert.equal((await readNewerRecord(directory))?.machineId, "sbx");
  await writeFile(path, JSON.stringify({ ...record, version: 2, process: { pid: 1, startTime: "1", bootId: "b" } }));
  assert.equal(await readNewerRecord(directory), undefined);
});

test("half a record, a foreign one and none at all are no record", async () => {
  assert.equal(await readRecord(directory), undefined);
  const path = join(directory, "machine.json");
  await writeFile(path, JSON.stringify(record).slice(0, 40));
  assert.equal(await readRecord(directory), undefined);
  // Process 1 must never be killed for a record's sake.
  for (const change of [{ version: 2 }, { key: "../x" }, { process: { pid: 1, startTime: "1", bootId: "b" } }]) {
    await writeFile(path, JSON.stringify({ ...record, ...change }));
    assert.equal(await readRecord(directory), undefined);
  }
});
