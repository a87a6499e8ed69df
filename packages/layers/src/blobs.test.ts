import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { DirectoryBlobs, digestFile } from "./blobs.ts";

let directory: string;
let blobs: DirectoryBlobs;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-blobs-"));
  blobs = new DirectoryBlobs(join(directory, "blobs"));
});
afterEach(() => rm(directory, { recursive: true }));

test("what was put is got back, listed, and gone after remove; every step can be repeated", async () => {
  const source = join(directory, "source");
  await writeFile(source, "content");
  const digest = await digestFile(source);
  assert.equal(digest, "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73");
  await blobs.put(digest, source);
  await blobs.put(digest, source);
  assert.deepEqual(await readdir(join(directory, "blobs")), [digest]);
  assert.deepEqual(await blobs.stat(digest), { digest, bytes: 7 });
  await rm(source);
  await blobs.get(digest, join(directory, "target"));
  assert.equal(await readFile(join(directory, "target"), "utf8"), "content");
  assert.deepEqual(await Array.fromAsync(blobs.list()), [{ digest, bytes: 7 }]);
  await blobs.remove(digest);
  await blobs.remove(digest);
  assert.equal(await blobs.stat(digest), undefined);
  await assert.rejects(blobs.get(digest, join(directory, "target2")), { code: "not_found" });
});

test("a damaged blob is not handed out", async () => {
  const source = join(directory, "source");
  await writeFile(source, "content");
  const digest = await digestFile(source);
  await blobs.put(digest, source);
  await writeFile(join(directory, "blobs", digest), "comtent");
  await assert.rejects(blobs.get(digest, join(directory, "target")), { code: "internal", message: /damaged/ });
  assert.deepEqual((await readdir(directory)).sort(), ["blobs", "source"]);
});

test("a key is a digest and nothing else", async () => {
  await assert.rejects(blobs.put("../x", "/etc/hostname"), { code: "invalid_argument" });
});
