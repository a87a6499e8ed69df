import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { DirectoryBlobs } from "./blobs.ts";
import { LocalLayers } from "./local-layers.ts";

let directory: string;
let layers: LocalLayers;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-layers-"));
  layers = new LocalLayers(directory, new DirectoryBlobs(join(directory, "blobs")));
  await layers.open();
});
afterEach(() => rm(directory, { recursive: true }));

const path = (id: string) => join(directory, `${id}.qcow2`);
const io = (id: string, ...commands: string[]) =>
  execFileSync("qemu-io", [...commands.flatMap((command) => ["-c", command]), path(id)], { encoding: "utf8" });
const reads = (id: string, pattern: string, at: string, length: string) => {
  const said = execFileSync("qemu-io", ["-r", "-c", `read -P ${pattern} ${at} ${length}`, path(id)], {
    encoding: "utf8",
  });
  assert.doesNotMatch(said, /Pattern verification failed/);
};

test("a new volume holds a whole ext4 of its size and takes almost no room", async () => {
  await layers.format("vol", 1e9);
  const found = await layers.stat("vol");
  assert.equal(found?.virtualBytes, 1_000_001_536);
  assert.ok(found.fileBytes < 2e6, `${found.fileBytes} bytes on disk`);
  execFileSync("qemu-img", ["convert", "-O", "raw", path("vol"), join(directory, "raw")]);
  execFileSync("e2fsck", ["-fn", join(directory, "raw")]);
  assert.deepEqual(await layers.verify("vol"), []);
});

test("an overlay reads through, keeps the parent as it is, and can be larger", async () => {
  await layers.format("base", 300e6);
  io("base", "write -P 1 100M 1M");
  await layers.seal("base");
  await layers.overlay("top", "base", { bytes: 400e6 });
  reads("top", "1", "100M", "1M");
  io("top", "write -P 2 100M 64k");
  reads("top", "2", "100M", "64k");
  reads("base", "1", "100M", "1M");
  const top = await layers.stat("top");
  assert.equal(top?.parent, "base");
  assert.ok(top.virtualBytes >= 400e6);
  assert.deepEqual(await layers.chain("top"), ["top", "base"]);
  assert.deepEqual(await layers.paths(["top", "base"]), [path("top"), path("base")]);
  await assert.rejects(layers.paths(["top"]), { code: "internal" });
  await assert.rejects(layers.paths(["top", "top"]), { code: "internal" });
  await assert.rejects(layers.paths(["top", "other"]), { code: "internal", message: /name layer base/ });
  // A layer between the two was collapsed since the chain was read.
  assert.deepEqual(await layers.paths(["top", "middle", "base"]), [path("top"), path("base")]);
  assert.equal(layers.idOf(path("top")), "top");
  const measured = await layers.measure(["top", "base"]);
  assert.equal(measured["top"], 65536);
  assert.ok(measured["base"]! > 2 ** 20 - 65536);
});

test("names are taken once, parents must be there", async () => {
  await layers.format("base", 300e6);
  await assert.rejects(layers.format("base", 300e6), { code: "already_exists" });
  await assert.rejects(layers.overlay("top", "nothing"), { code: "not_found" });
  await assert.rejects(layers.overlay("../top", "base"), { code: "invalid_argument" });
  await assert.rejects(layers.seal("nothing"), { code: "not_found" });
});

for (const onto of ["bottom", null] as const) {
  test(`a layer laid over ${onto ?? "nothing"} instead of its parent reads the same, also for those above it`, async () => {
    await layers.format("bottom", 300e6);
    io("bottom", "write -P 1 10M 8M");
    await layers.overlay("middle", "bottom");
    io("middle", "write -P 2 12M 2M", "write -z 200M 1M");
    await layers.overlay("top", "middle");
    io("top", "write -P 3 13M 64k");
    await layers.seal("top");
    await layers.overlay("user", "top");
    const before = execFileSync("qemu-img", ["convert", "-O", "raw", path("user"), join(directory, "before")]);
    assert.ok(before);
    await layers.commitCopy(await layers.copy(["top", "middle", "bottom"], onto));
    await layers.remove("middle");
    if (onto === null) await layers.remove("bottom");
    assert.equal((await layers.stat("top"))?.parent, onto);
    assert.equal((await layers.stat("top"))?.sealed, true);
    execFileSync("qemu-img", ["compare", "-q", "-f", "qcow2", "-F", "raw", path("user"), join(directory, "before")]);
    assert.deepEqual(await layers.verify("user"), []);
    reads("user", "3", "13M", "64k");
  });
}

test("a copy that is given up or interrupted leaves no trace", async () => {
  await layers.format("bottom", 300e6);
  await layers.overlay("top", "bottom");
  const copy = await layers.copy(["top", "bottom"], null);
  await layers.discardCopy(copy);
  await assert.rejects(layers.commitCopy(copy), { code: "not_found" });
  await assert.rejects(layers.commitCopy("../top.qcow2"), { code: "invalid_argument" });
  await layers.copy(["top", "bottom"], null); // as if the process had died here
  await layers.open();
  assert.deepEqual((await readdir(directory)).sort(), ["bottom.qcow2", "top.qcow2"]);
  assert.equal((await layers.stat("top"))?.parent, "bottom");
});

test("a header that a taken-over machine has rewritten is not followed", async () => {
  await layers.format("base", 300e6);
  await layers.overlay("top", "base");
  for (const target of ["/etc/hostname", "../other/base.qcow2", "json:{}"]) {
    execFileSync("qemu-img", ["rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", target, path("top")]);
    await assert.rejects(layers.chain("top"), { code: "internal", message: /tampered/ });
    await assert.rejects(layers.measure(["top", "base"]), { code: "internal" });
    await assert.rejects(layers.copy(["top", "base"], null), { code: "internal" });
  }
  execFileSync("qemu-img", ["rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "top.qcow2", path("top")]);
  await assert.rejects(layers.chain("top"), { code: "internal", message: /do not end/ });
});

test("a changed byte of a sealed layer is found", async () => {
  await layers.format("base", 300e6);
  await layers.seal("base");
  const checksum = await layers.archive("base");
  assert.deepEqual(await layers.verify("base", checksum), []);
  await chmod(path("base"), 0o600);
  io("base", "write -P 9 50M 4k");
  assert.match((await layers.verify("base", checksum))[0]?.problem ?? "", /not those that were sealed/);
  await writeFile(path("base"), "torn");
  assert.equal((await layers.verify("base")).length, 1);
});

test("a sealed layer whose file is lost comes back from rest, sealed and as it was", async () => {
  await layers.format("base", 300e6);
  io("base", "write -P 7 50M 1M");
  await layers.seal("base");
  const digest = await layers.archive("base");
  assert.deepEqual(await layers.archived(), [digest]);
  await layers.remove("base");
  await layers.recall("base", digest);
  assert.equal((await layers.stat("base"))?.sealed, true);
  assert.deepEqual(await layers.verify("base", digest), []);
  await layers.forget(digest);
  assert.deepEqual(await layers.archived(), []);
  await assert.rejects(layers.recall("base", digest), { code: "not_found" });
});

test("a layer that is being written can still be measured", async () => {
  await layers.format("vol", 300e6);
  const qemu = execFileSync(
    "sh",
    ["-c", `qemu-io -c 'write -P 1 10M 4M' -c 'flush' -c 'sleep 1500' ${path("vol")} >/dev/null 2>&1 & echo $!`],
    { encoding: "utf8" },
  );
  try {
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.ok((await layers.measure(["vol"]))["vol"]! >= 4 << 20);
    assert.throws(() => io("vol", "write -P 1 0 4k"), /lock/, "an image has one writer");
  } finally {
    try {
      process.kill(Number(qemu));
    } catch {
      // it has ended by itself
    }
  }
});
