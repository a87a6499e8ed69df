/** Disks that outlive a machine: attached while it runs, snapshotted while it writes, given back after it. */
import assert from "node:assert/strict";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { create, identity, sh, withEngine } from "./engine.ts";

const GiB = 2 ** 30;

test("a volume is mounted, overlaid while frozen, and its images come back", { timeout: 240_000 }, () =>
  withEngine({}, async (node, home) => {
    const { layers, machines } = node;
    const images = join(home, "volumes");
    await layers.format("first", GiB);
    const machine = await create(node, {
      volumes: [{ layers: ["first"], readOnly: false, serial: "data", path: "/data" }],
    });
    await sh(machine, "sudo chown app /data; echo one > /data/one; sync");
    assert.deepEqual(await machines.diskLayers(machine.id), { data: "first" });

    await layers.overlay("second", "first");
    await machines.overlayDisk(machine.id, "data", "second");
    assert.deepEqual(await machines.diskLayers(machine.id), { data: "second" });
    const before = (await stat(join(images, "first.qcow2"))).mtimeMs;
    await sh(machine, "echo two > /data/two; sync; cat /data/one");
    assert.equal((await stat(join(images, "first.qcow2"))).mtimeMs, before, "the former image does not change");
    await layers.overlay("elsewhere", "first");
    await assert.rejects(machines.overlayDisk(machine.id, "data", "elsewhere"), { code: "invalid_state" });
    await assert.rejects(machines.overlayDisk(machine.id, "none", "elsewhere"), { code: "not_found" });

    // Not synced: stopping a machine writes back what its volumes are owed.
    await sh(machine, "echo three > /data/three");
    await machines.stop(machine.id);
    for (const name of await readdir(images)) assert.equal((await stat(join(images, name))).uid, process.getuid?.());

    const reader = await create(node, {
      volumes: [{ layers: ["second", "first"], readOnly: true, serial: "data", path: "/data" }],
    });
    assert.equal(
      await sh(reader, "cat /data/one /data/two /data/three; touch /data/four 2>/dev/null || echo read-only"),
      "one\ntwo\nthree\nread-only",
    );
  }),
);

test("disks that cannot be attached refuse the machine, and nothing of it is left", { timeout: 240_000 }, () =>
  withEngine({}, async (node, home) => {
    await node.layers.format("below", GiB);
    await node.layers.overlay("top", "below");
    const data = { layers: ["below"], readOnly: true, serial: "data", path: "/data" } as const;
    const refused = [
      { volumes: [data, { ...data, path: "/again" }], code: "already_exists" },
      { volumes: [{ ...data, layers: ["none"] }], code: "not_found" },
      // The image of "top" names "below", whatever the control plane says.
      { volumes: [{ ...data, layers: ["top"] }], code: "internal" },
      { volumes: [{ ...data, serial: "root" }], code: "invalid_argument" },
    ] as const;
    for (const { volumes, code } of refused) await assert.rejects(create(node, { volumes }), { code });
    assert.deepEqual(await node.machines.list(), []);
    assert.deepEqual(await readdir(join(home, "run")), []);
  }),
);

test("a root disk of the owner's is the root, keeps what was written, and has its own size", { timeout: 240_000 }, () =>
  withEngine({}, async (node) => {
    const { layers, machines } = node;
    await layers.format("root", 3 * GiB);
    const disk = { layers: ["root"], readOnly: false, serial: "mine", bytes: 3 * GiB } as const;
    const first = await create(node, { hostname: "first", root: disk });
    assert.match(await sh(first, "df --output=size -BM / | tail -n 1"), /^\s*(2[5-9]|30)\d\dM$/);
    await sh(first, "echo kept > /home/app/kept");
    const firstId = await sh(first, identity);
    assert.match(firstId, /^[0-9a-f]{32} first first 1$/);
    assert.deepEqual(await machines.diskLayers(first.id), { mine: "root" });
    await machines.stop(first.id);
    const second = await create(node, { hostname: "the-second", root: disk });
    assert.equal(await sh(second, "cat /home/app/kept"), "kept");
    const secondId = await sh(second, identity);
    assert.match(secondId, /^[0-9a-f]{32} the-second the-second 1$/, "files of the first life are written over");
    assert.notEqual(secondId.slice(0, 32), firstId.slice(0, 32));
  }),
);
