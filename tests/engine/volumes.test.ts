/** Disks that outlive a machine: attached while it runs, snapshotted while it writes, given back after it. */
import assert from "node:assert/strict";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { qcow2Chain } from "../../packages/node/src/driver/qemu/command-line.ts";
import { Qmp } from "../../packages/node/src/driver/qemu/qmp.ts";
import { linkOverlay } from "../../packages/node/src/holdings/disk-links.ts";
import type { MachineRecord } from "../../packages/node/src/runtime/machine-record.ts";
import { create, engine, identity, sh, temporaryHome, withEngine } from "./engine.ts";

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

test(
  "an overlay that a killed process did not finish does not stand in the way of the next",
  { timeout: 240_000 },
  async () => {
    const home = await temporaryHome();
    let node = await engine(home);
    try {
      await node.start({ wanted: [] });
      await node.layers.format("first", GiB);
      const { id } = await create(node, {
        volumes: [{ layers: ["first"], readOnly: false, serial: "data", path: "/data" }],
      });
      let top = "first";
      for (const reached of ["recorded", "linked", "open in the monitor"]) {
        const lost = `lost-${reached.slice(0, 4)}`;
        await node.layers.overlay(lost, top);
        await node.close("leave");
        const [key = ""] = await readdir(join(home, "run"));
        const path = join(home, "run", key, "machine.json");
        const image = join(home, "volumes", `${lost}.qcow2`);
        const record = JSON.parse(await readFile(path, "utf8")) as MachineRecord;
        const generation = record.disks.find(({ serial }) => serial === "data")!.images.length;
        const disks = record.disks.map((disk) =>
          disk.serial === "data" ? { ...disk, images: [...disk.images, image] } : disk,
        );
        await writeFile(path, JSON.stringify({ ...record, disks }));
        if (reached !== "recorded") {
          const place = { directory: join(home, "disks", key), uid: record.uid };
          const file = await linkOverlay(place, image, "data", generation);
          if (reached !== "linked") {
            const qmp = await Qmp.connect(join(home, "run", key, "qmp.sock"), { deadlineMs: 5000 });
            const description = qcow2Chain(`disk-data-${generation}`, [file], { readOnly: false, durable: true })!;
            await qmp.execute("blockdev-add", description);
            qmp.close();
          }
        }

        node = await engine(home);
        await node.start({ wanted: [{ id, egress: { policy: {}, secrets: [] } }] });
        const { layers, machines } = node;
        assert.deepEqual(await machines.diskLayers(id), { data: top }, reached);
        await layers.remove(lost);
        const next = `next-${reached.slice(0, 4)}`;
        await layers.overlay(next, top);
        await machines.overlayDisk(id, "data", next);
        assert.deepEqual(await machines.diskLayers(id), { data: next }, reached);
        await sh({ agent: machines.agent(id) }, `sudo sh -c 'echo ${reached} >> /data/all; sync'`);
        top = next;
      }
      assert.equal(await sh({ agent: node.machines.agent(id) }, "wc -l < /data/all"), "3");
    } finally {
      await node.close("end");
      // It may have failed between two nodes: one that wants nothing ends what was left.
      const last = await engine(home);
      await last.start({ wanted: [] });
      await last.close("end");
      await rm(home, { recursive: true, force: true });
    }
  },
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
