import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { createFile, replaceFile } from "./whole-file.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-file-"));
});
afterEach(() => rm(directory, { recursive: true }));

test("of many writers of a new file one wins, and no reader ever finds half of it", async () => {
  const path = join(directory, "file");
  const written = new AbortController();
  const reader = (async () => {
    while (!written.signal.aborted) {
      const text = await readFile(path, "utf8").catch(() => undefined);
      assert.ok(text === undefined || text.length === 100_000, `a reader found ${text?.length} bytes`);
    }
  })();
  const texts = Array.from({ length: 8 }, (_, index) => String(index).repeat(100_000));
  const won = await Promise.all(texts.map((text) => createFile(path, text)));
  const first = await readFile(path, "utf8");
  await replaceFile(path, "x".repeat(100_000), { mode: 0o644 });
  written.abort();
  await reader;
  assert.deepEqual(
    won.map((made, index) => made === (texts[index] === first)),
    texts.map(() => true),
  );
  assert.equal(won.filter(Boolean).length, 1);
  assert.equal(await readFile(path, "utf8"), "x".repeat(100_000));
  assert.equal((await stat(path)).mode & 0o777, 0o644);
  assert.deepEqual(await readdir(directory), ["file"]);
});
