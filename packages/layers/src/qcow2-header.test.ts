import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { emptyOverlay, parseHeader, readHeader } from "./qcow2-header.ts";

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-header-"));
});
after(() => rm(directory, { recursive: true }));

const qemuImg = (...args: string[]) => execFileSync("qemu-img", args, { cwd: directory, encoding: "utf8" });

test("qemu-img takes our empty overlay for its own, and reads the parent through it", async () => {
  for (const bytes of [300e6, 1e9, 20e9 + 512, 2 * 2 ** 40]) {
    const size = Math.ceil(bytes / 512) * 512;
    qemuImg("create", "-q", "-f", "qcow2", "parent.qcow2", String(size));
    execFileSync("qemu-io", ["-c", "write -P 0x5a 65536 4096", "parent.qcow2"], { cwd: directory });
    await writeFile(join(directory, "ours.qcow2"), emptyOverlay("parent.qcow2", size));
    qemuImg("check", "-q", "ours.qcow2");
    const info = JSON.parse(qemuImg("info", "--output=json", "ours.qcow2"));
    assert.equal(info["virtual-size"], size);
    assert.equal(info["backing-filename"], "parent.qcow2");
    assert.equal(info["backing-filename-format"], "qcow2");
    qemuImg("compare", "-q", "ours.qcow2", "parent.qcow2");
    execFileSync(
      "qemu-io",
      ["-c", `write -P 0xa5 ${size - 65536} 4096`, "-c", "read -P 0x5a 65536 4096", "ours.qcow2"],
      { cwd: directory },
    );
    qemuImg("check", "-q", "ours.qcow2");
  }
});

test("headers that qemu-img writes are read", async () => {
  qemuImg("create", "-q", "-f", "qcow2", "base.qcow2", "1G");
  qemuImg("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "over.qcow2", "2G");
  assert.deepEqual(await readHeader(join(directory, "base.qcow2")), {
    backingFile: null,
    backingFormat: null,
    virtualBytes: 2 ** 30,
  });
  assert.deepEqual(await readHeader(join(directory, "over.qcow2")), {
    backingFile: "base.qcow2",
    backingFormat: "qcow2",
    virtualBytes: 2 ** 31,
  });
});

test("a file that is something else, or that points outside, is refused", async () => {
  await writeFile(join(directory, "text"), "not an image");
  await assert.rejects(readHeader(join(directory, "text")), { code: "internal" });
  qemuImg("create", "-q", "-f", "qcow2", "-o", "data_file=raw.bin", "external.qcow2", "1M");
  await assert.rejects(readHeader(join(directory, "external.qcow2")), {
    code: "internal",
    message: /incompatible features/,
  });
  qemuImg("create", "-q", "-f", "qcow2", "-o", "compat=0.10", "old.qcow2", "1M");
  await assert.rejects(readHeader(join(directory, "old.qcow2")), { code: "internal", message: /version 3/ });
});

test("no damaged header reads past the buffer: every prefix and every flipped byte is an answer or our error", () => {
  const good = emptyOverlay("parent.qcow2", 1e9).subarray(0, 512);
  for (let length = 0; length < good.length; length++) attempt(good.subarray(0, length));
  for (let at = 0; at < 200; at++) {
    for (const value of [0, 1, 0x7f, 0xff]) {
      const bad = Buffer.from(good);
      bad[at] = value;
      attempt(bad);
    }
  }
});

function attempt(bytes: Buffer): void {
  try {
    parseHeader(bytes, "image");
  } catch (error) {
    assert.equal((error as { code?: string }).code, "internal");
  }
}
