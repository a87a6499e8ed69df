import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import type { TemplateFiles } from "../driver/driver.ts";
import { CheckpointStore, writtenName } from "./store.ts";

const names = { ram: "ram", state: "state", blankDisk: "blank", layerDisk: "layer", rehearsalDisk: "rehearsal" };
const home = await mkdtemp(join(tmpdir(), "caisson-checkpoints-"));
const root = join(home, "checkpoints");
const template: TemplateFiles = { ...names, directory: join(home, "template") };
const facts = { key: "k", visibleMemory: 700, memory: 768, vcpus: 2, images: ["app"], note: "n", madeAt: 5 };
/** Mostly holes. */
const ramBytes = 64 * 2 ** 20;
let store: CheckpointStore;

beforeEach(async () => {
  await rm(home, { recursive: true, force: true });
  await mkdir(template.directory, { recursive: true });
  for (const name of Object.values(names)) await writeFile(join(template.directory, name), name);
  await truncate(join(template.directory, names.ram), ramBytes);
  store = new CheckpointStore(root, names);
  await store.open();
});
after(() => rm(home, { recursive: true, force: true }));

async function made(id: string) {
  const draft = await store.draft(template);
  await store.handOver(draft, undefined);
  await writeFile(join(draft.directory, writtenName), "written");
  await writeFile(join(draft.directory, names.state), id);
  return store.commit(id, draft, facts);
}

test("a draft becomes a checkpoint, which replaces one of the same name", async () => {
  await made("a-1");
  const { info, files, ...stored } = await made("a-1");
  assert.deepEqual(stored, { version: 1, ...facts });
  assert.deepEqual([info.id, info.note, info.madeAt], ["a-1", "n", 5]);
  assert.ok(info.bytes > 0 && info.bytes < ramBytes / 2, `${info.bytes} bytes: the holes were filled`);
  assert.equal(await readFile(join(files.directory, files.state), "utf8"), "a-1");
  assert.equal(files.writtenDisk, writtenName);
  assert.equal((await stat(join(files.directory, files.ram))).mode & 0o777, 0o444);
  assert.deepEqual(await readdir(root), ["a-1"]);
  assert.equal(await readFile(join(template.directory, names.state), "utf8"), names.state);
});

test("what a crash left is removed, and what is whole stays", async () => {
  await made("a-1");
  await store.draft(template);
  assert.equal((await readdir(root)).length, 2);
  assert.deepEqual(await store.list(), ["a-1"]);
  await store.open();
  assert.deepEqual(await readdir(root), ["a-1"]);
  await store.remove("a-1");
  await store.remove("a-1");
  assert.deepEqual(await readdir(root), []);
});

test("a machine that wrote too much is not kept, and there is none before the start", async () => {
  const draft = await store.draft(template);
  await writeFile(join(draft.directory, writtenName), "");
  await truncate(join(draft.directory, writtenName), 2 ** 30);
  await assert.rejects(store.commit("a-1", draft, facts), { code: "unsupported", message: /1024 MiB/ });
  await store.discard(draft);
  assert.deepEqual(await readdir(root), []);
  assert.deepEqual(await new CheckpointStore(join(home, "none"), names).list(), []);
});

test("facts that are damaged are none, and names cannot leave the directory", async () => {
  await made("a-1");
  await writeFile(join(root, "a-1", "checkpoint.json"), "{");
  assert.equal(await store.get("a-1"), undefined);
  assert.equal(await store.get("b"), undefined);
  for (const id of ["../a", "", "A", ".draft.x", "a".repeat(81)])
    await assert.rejects(store.get(id), { code: "invalid_argument" });
  await store.open();
  assert.deepEqual(await readdir(root), []);
});

test("the last use is remembered", async () => {
  const { info } = await made("a-1");
  await new Promise((resolve) => setTimeout(resolve, 20));
  await store.touch("a-1");
  assert.ok((await store.get("a-1"))!.info.usedAt > info.usedAt);
});
