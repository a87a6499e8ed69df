import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { TemplateStore } from "./store.ts";

let cache: string;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "caisson-templates-"));
});
afterEach(() => rm(cache, { recursive: true }));

async function template(name: string, ageSeconds: number): Promise<void> {
  const directory = join(cache, "templates", name);
  await mkdir(directory, { recursive: true });
  const facts = join(directory, "template.json");
  await writeFile(facts, "{}");
  const then = Date.now() / 1000 - ageSeconds;
  await utimes(facts, then, then);
}

test("pruning keeps what was used lately and removes the rest and dead builders' drafts", async () => {
  for (let age = 0; age < 6; age++) await template(`recent${age}`, age * 60);
  await template("ancient", 7 * 24 * 3600);
  await template(`alive.draft-${process.pid}`, 0);
  await template("dead.draft-4194305", 0);
  const store = new TemplateStore(cache);
  assert.deepEqual([...(await store.prune())].sort(), ["ancient", "dead.draft-4194305", "recent4", "recent5"]);
  assert.deepEqual((await readdir(join(cache, "templates"))).sort(), [
    `alive.draft-${process.pid}`,
    "recent0",
    "recent1",
    "recent2",
    "recent3",
  ]);
});

test("without a cache there is nothing to prune", async () => {
  assert.deepEqual(await new TemplateStore(join(cache, "none")).prune(), []);
});
