/** Contents and images of files: real tools, real files. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, test } from "node:test";
import type { TreeEntry } from "@caisson/protocol";
import { LocalFiles } from "./local-files.ts";

let directory: string;
let files: LocalFiles;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-files-"));
  files = new LocalFiles(directory);
  await files.open();
});
afterEach(() => rm(directory, { recursive: true }));

const put = (content: string) => files.put(Readable.from([Buffer.from(content)]), { maxBytes: 100 });
const file = async (path: string, content: string, executable = false): Promise<TreeEntry> => ({
  kind: "file",
  path,
  executable,
  ...(await put(content)),
});

test("equal contents are stored once, are read back, and those that nobody needs are removed", async () => {
  const [one, same, other] = [await put("one"), await put("one"), await put("other")];
  assert.equal(one.digest, same.digest);
  await files.flush();
  assert.equal(await text(await files.read(one.digest)), "one");
  assert.equal(await text(await files.read(other.digest, { first: 1, last: 3 })), "the");
  const lost = "0".repeat(64);
  const needed = new Set([one.digest, lost]);
  const missing = new Set([lost]);
  assert.deepEqual(
    await files.prune(needed, 60_000),
    { removed: 0, missing },
    "it may belong to a deployment in progress",
  );
  assert.deepEqual(await files.prune(needed, -1), { removed: 1, missing });
  await assert.rejects(files.read(other.digest), { code: "not_found" });
  await assert.rejects(put("x".repeat(101)), { code: "resource_exhausted" });
  assert.deepEqual(await readdir(join(directory, "contents/drafts")), []);
});

test("an image has the tree, belongs to the user of guests, and is the same each time", async () => {
  const tree: TreeEntry[] = [
    { kind: "directory", path: "sub" },
    await file("sub/main.ts", "hello"),
    await file("run", "#!", true),
    { kind: "symlink", path: "link", target: "../../etc/passwd" },
  ];
  assert.ok((await files.pack("one", tree)) > 0);
  await files.pack("two", tree.toReversed());
  const raw = (id: string) => {
    const target = join(directory, `${id}.raw`);
    spawnSync("qemu-img", ["convert", "-O", "raw", join(directory, "images", `${id}.qcow2`), target]);
    return target;
  };
  assert.equal(spawnSync("cmp", [raw("one"), raw("two")]).status, 0);
  const dump = (path: string) => spawnSync("dump.erofs", ["--path", path, raw("one")], { encoding: "utf8" }).stdout;
  assert.match(dump("/sub/main.ts"), /Size: 5 .*\n[^]*Uid: 1000 +Gid: 1000 +Access: 0444/);
  assert.match(dump("/run"), /Access: 0555/);
  assert.deepEqual((await files.images()).toSorted(), ["one", "two"]);
  await files.removeImage("one");
  await assert.rejects(files.imagePath("one"), { code: "not_found" });
  assert.deepEqual(await readdir(join(directory, "drafts")), []);
});

test("a tree that leads out of itself is refused before anything is written", async () => {
  const inner = await file("link/escaped", "x");
  const bad: TreeEntry[][] = [
    [{ kind: "symlink", path: "link", target: "/tmp" }, inner],
    [inner],
    [await file("../up", "x")],
    [await file("/abs", "x")],
    [await file("a//b", "x")],
    [await file("a\0b", "x")],
    [await file("n".repeat(256), "x")],
    [{ kind: "directory", path: "." }],
    [await file("twice", "x"), { kind: "directory", path: "twice" }],
    [{ kind: "symlink", path: "empty", target: "" }],
  ];
  for (const tree of bad) await assert.rejects(files.pack("bad", tree), { code: "invalid_argument" });
  await assert.rejects(
    files.pack("bad", [{ kind: "file", path: "a", digest: "0".repeat(64), bytes: 1, executable: false }]),
    { code: "not_found" },
  );
  await assert.rejects(files.pack("../x", []), { code: "invalid_argument" });
  assert.deepEqual(await files.images(), []);
});

test("a full disk is named as what it is at each step, and the step leaves nothing", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("a file system of a fixed size is mounted by root");
  const home = join(directory, "full");
  await mkdir(home);
  spawnSync("mount", ["-t", "tmpfs", "-o", "size=20m", "tmpfs", home]);
  try {
    await fillUp(home);
  } finally {
    spawnSync("umount", ["--lazy", home]);
  }
});

async function fillUp(home: string): Promise<void> {
  const small = new LocalFiles(home);
  await small.open();
  const full = { code: "resource_exhausted", message: "The disk of the node that stores the files of apps is full." };
  const random = (mib: number) =>
    small.put(Readable.from(Array.from({ length: mib }, () => randomBytes(2 ** 20))), { maxBytes: 2 ** 30 });
  await assert.rejects(random(30), full);
  // The image does not fit; its copy in the other format does not; all fits.
  for (const [mib, fits] of [
    [12, false],
    [8, false],
    [2, true],
  ] as const) {
    const content = await random(mib);
    const packed = small.pack(`of${mib}`, [{ kind: "file", path: "large", executable: false, ...content }]);
    if (fits) assert.ok((await packed) > mib * 2 ** 20);
    else await assert.rejects(packed, full);
    assert.deepEqual([await readdir(join(home, "drafts")), await readdir(join(home, "contents/drafts"))], [[], []]);
    assert.deepEqual(await readdir(join(home, "images")), fits ? [`of${mib}.qcow2`] : []);
    await small.prune(new Set(), -1000);
  }
}
