/** Disks that outlive a machine: attached while it runs, snapshotted while it writes, given back after it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { engine, machineSpec, sh, temporaryHome } from "./engine.ts";

function image(path: string, ...args: readonly string[]): string {
  execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", ...args.slice(0, -1), path, ...args.slice(-1)]);
  return path;
}

/** A qcow2 image with an empty ext4. */
function formatted(directory: string, name: string, size: string): string {
  const [raw, path] = [join(directory, "raw"), join(directory, `${name}.qcow2`)];
  execFileSync("truncate", ["-s", size, raw]);
  execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", raw]);
  execFileSync("qemu-img", ["convert", "-O", "qcow2", raw, path]);
  execFileSync("rm", [raw]);
  return path;
}

test("a volume is mounted, overlaid while frozen, and its images come back", { timeout: 240_000 }, async () => {
  const home = await temporaryHome();
  const node = await engine(home);
  try {
    const images = join(home, "volumes");
    await mkdir(images);
    const first = formatted(images, "first", "1G");
    await node.start({ wanted: () => false });
    const spec = machineSpec();
    const machine = await node.create({
      ...spec,
      volumes: [{ image: first, readOnly: false, serial: "data", path: "/data" }],
    });
    await sh(machine, "sudo chown app /data; echo one > /data/one; sync");
    assert.deepEqual([...(await machine.diskImages())], [["data", "first.qcow2"]]);

    const second = image(join(images, "second.qcow2"), "-b", "first.qcow2", "-F", "qcow2", "1G");
    await machine.whileFrozen(["data"], () => machine.overlayDisk("data", second));
    assert.deepEqual([...(await machine.diskImages())], [["data", "second.qcow2"]]);
    const before = (await stat(first)).mtimeMs;
    await sh(machine, "echo two > /data/two; sync; cat /data/one");
    assert.equal((await stat(first)).mtimeMs, before, "the former image does not change");

    await assert.rejects(machine.attachVolume({ image: first, readOnly: true, serial: "data", path: "/again" }), {
      code: "already_exists",
    });
    await assert.rejects(
      machine.attachVolume({ image: join(images, "none"), readOnly: true, serial: "none", path: "/none" }),
      { code: "not_found" },
    );
    // Not synced: stopping a machine writes back what its volumes are owed.
    await sh(machine, "echo three > /data/three");
    await machine.stop();
    for (const name of await readdir(images)) assert.equal((await stat(join(images, name))).uid, process.getuid?.());

    const reader = await node.create({
      ...machineSpec(),
      volumes: [{ image: second, backing: [first], readOnly: true, serial: "data", path: "/data" }],
    });
    assert.equal(
      await sh(reader, "cat /data/one /data/two /data/three; touch /data/four 2>/dev/null || echo read-only"),
      "one\ntwo\nthree\nread-only",
    );
  } finally {
    await node.close("end");
    await rm(home, { recursive: true, force: true });
  }
});

test(
  "a root disk of the owner's is the root, keeps what was written, and has its own size",
  { timeout: 240_000 },
  async () => {
    const home = await temporaryHome();
    const node = await engine(home);
    try {
      const images = join(home, "volumes");
      await mkdir(images);
      const root = formatted(images, "root", "3G");
      await node.start({ wanted: () => false });
      const disk = { image: root, readOnly: false, serial: "mine", bytes: 3 * 2 ** 30 };
      const first = await node.create({ ...machineSpec(), root: disk });
      assert.match(await sh(first, "df --output=size -BM / | tail -n 1"), /^\s*(2[5-9]|30)\d\dM$/);
      await sh(first, "echo kept > /home/app/kept");
      assert.deepEqual([...(await first.diskImages())], [["mine", "root.qcow2"]]);
      await first.stop();
      const second = await node.create({ ...machineSpec(), root: disk });
      assert.equal(await sh(second, "cat /home/app/kept"), "kept");
    } finally {
      await node.close("end");
      await rm(home, { recursive: true, force: true });
    }
  },
);
