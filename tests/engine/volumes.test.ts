/** Disks that outlive a machine: attached while it runs, snapshotted while it writes, given back after it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { SandboxNode } from "@caisson/protocol";
import { machineSpec, sh, withEngine } from "./engine.ts";

/** Machine id, host name by the kernel and by its file, and how many lines of /etc/hosts name it for IPv4. */
const identity =
  'echo $(cat /etc/machine-id) $(hostname) $(cat /etc/hostname) $(grep -c "^127.0.0.1 localhost $(hostname)$" /etc/hosts)';

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

/** A node, and a place for images on its home's file system. */
async function withImages(body: (node: SandboxNode, images: string) => Promise<void>): Promise<void> {
  await withEngine({ pool: 0 }, async (node, home) => {
    const images = join(home, "volumes");
    await mkdir(images);
    await body(node, images);
  });
}

test("a volume is mounted, overlaid while frozen, and its images come back", { timeout: 240_000 }, () =>
  withImages(async (node, images) => {
    const first = formatted(images, "first", "1G");
    const machine = await node.create({
      ...machineSpec(),
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
  }),
);

test("a root disk of the owner's is the root, keeps what was written, and has its own size", { timeout: 240_000 }, () =>
  withImages(async (node, images) => {
    const disk = { image: formatted(images, "root", "3G"), readOnly: false, serial: "mine", bytes: 3 * 2 ** 30 };
    const first = await node.create({ ...machineSpec({ hostname: "first" }), root: disk });
    assert.match(await sh(first, "df --output=size -BM / | tail -n 1"), /^\s*(2[5-9]|30)\d\dM$/);
    await sh(first, "echo kept > /home/app/kept");
    const firstId = await sh(first, identity);
    assert.match(firstId, /^[0-9a-f]{32} first first 1$/);
    assert.deepEqual([...(await first.diskImages())], [["mine", "root.qcow2"]]);
    await first.stop();
    const second = await node.create({ ...machineSpec({ hostname: "the-second" }), root: disk });
    assert.equal(await sh(second, "cat /home/app/kept"), "kept");
    const secondId = await sh(second, identity);
    assert.match(secondId, /^[0-9a-f]{32} the-second the-second 1$/, "files of the first life are written over");
    assert.notEqual(secondId.slice(0, 32), firstId.slice(0, 32));
  }),
);

test(
  "clones from the pool move to an owner's root, and nothing of a rehearsal is left in them",
  { timeout: 240_000 },
  () =>
    withEngine({ pool: 1 }, async (node, home) => {
      const images = join(home, "volumes");
      await mkdir(images);
      const image = formatted(images, "root", "1G");
      const leftovers =
        "ls /mnt; grep -l rehearsal /etc/host*; grep Caisson: /etc/ssl/certs/ca-certificates.crt; ls /usr/local/share/ca-certificates; find /etc/ssl/certs -name '????????.?' -lname '*/caisson.crt'; true";
      // Only once root disks are asked for do clones rehearse them.
      for (const hostname of ["unrehearsed", "rehearsed", "plain"]) {
        while (node.status().pooled === 0) await sleep(100);
        const root = { image, readOnly: false, serial: "mine", bytes: 2 ** 30 };
        const machine = await node.create({ ...machineSpec({ hostname }), ...(hostname === "plain" ? {} : { root }) });
        assert.match(await sh(machine, identity), new RegExp(`^[0-9a-f]{32} ${hostname} ${hostname} 1$`));
        assert.equal(await sh(machine, leftovers), "", "nothing of a rehearsal");
        await machine.stop();
      }
    }),
);
