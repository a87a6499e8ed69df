/**
 * Damage of every kind concerns its owner alone: the server starts, everything else works, the check names what is damaged and who needs
 * it, requests for it get a clear error, and the operator can repair or drop it.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, copyFile, mkdir, open, readdir, rename, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { findDamaged } from "../../packages/server/src/layers/damage.ts";
import { settleCopies } from "../../packages/server/src/layers/copies.ts";
import { checkVolumes } from "../../packages/server/src/volumes/check.ts";
import { createVolume } from "../../packages/server/src/volumes/create-volume.ts";
import { deleteSnapshot, deleteVolume } from "../../packages/server/src/volumes/delete.ts";
import { acquireDisks, releaseDisks } from "../../packages/server/src/volumes/leases.ts";
import { recoverVolumes } from "../../packages/server/src/volumes/recover.ts";
import { drop, markContent, repair } from "../../packages/server/src/volumes/repair.ts";
import { takeSnapshot } from "../../packages/server/src/volumes/take-snapshot.ts";
import { openWorkbench, type Workbench } from "./workbench.ts";

const capacity = 300e6;
const region = "ord";
const never = new AbortController().signal;

/** The owner whose data is damaged: a volume with a snapshot, so that there is a sealed layer with a copy at rest, and a head over it. */
interface Owned {
  readonly bench: Workbench;
  readonly volume: string;
  readonly snapshot: string;
  /** Sealed, with a copy at rest. */
  readonly layer: string;
  readonly head: string;
}

const imagePath = ({ directory }: Workbench, id: string) => join(directory, "volumes", "layers", `${id}.qcow2`);
const copyPath = async (bench: Workbench, id: string) => {
  const { checksum } = await bench.ctx.db
    .selectFrom("layers")
    .select("checksum")
    .where("id", "=", id)
    .executeTakeFirstOrThrow();
  return join(bench.directory, "volumes", "blobs", checksum!);
};
const zeroHeader = async (path: string) => {
  await chmod(path, 0o600);
  const file = await open(path, "r+");
  await file.write(Buffer.alloc(4096), 0, 4096, 0);
  await file.close();
};
/** Makes the image and its copy two files, as on two disks. */
const separate = async (path: string) => {
  await copyFile(path, `${path}.other`);
  await rename(`${path}.other`, path);
};

interface Damage {
  /** Does it. @returns what the check and the marks must name */
  readonly inflict: (owned: Owned) => Promise<string>;
  readonly reason: RegExp;
  /** What cannot be used any more. Default: both. */
  readonly snapshotWorks?: true;
  /** What `repair` can do. */
  readonly repairable: boolean;
}

const kinds: Record<string, Damage> = {
  "a sealed layer with a zeroed header, and so its copy, which is the same file": {
    inflict: async ({ bench, layer }) => {
      await zeroHeader(imagePath(bench, layer));
      return layer;
    },
    reason: /not a disk image of this platform.*its copy at rest cannot be used: Blob .* is damaged/,
    repairable: false,
  },
  "a sealed layer and its copy are missing": {
    inflict: async ({ bench, layer }) => {
      await rm(await copyPath(bench, layer));
      await rm(imagePath(bench, layer));
      return layer;
    },
    reason: /image is missing, and its copy at rest cannot be used: Blob .* does not exist/,
    repairable: false,
  },
  "a sealed layer is missing and its copy is damaged": {
    inflict: async ({ bench, layer }) => {
      const copy = await copyPath(bench, layer);
      await rm(imagePath(bench, layer));
      await chmod(copy, 0o600);
      await truncate(copy, 1000);
      return layer;
    },
    reason: /image is missing, and its copy at rest cannot be used: Blob .* is damaged/,
    repairable: false,
  },
  "a sealed layer without a copy is empty": {
    inflict: async ({ bench, layer }) => {
      await rm(await copyPath(bench, layer));
      await bench.ctx.db.updateTable("layers").set({ checksum: null }).where("id", "=", layer).execute();
      await truncate(imagePath(bench, layer));
      return layer;
    },
    reason: /no qcow2 header of version 3, and there is no copy at rest/,
    repairable: false,
  },
  "the layer that the volume writes to is missing": {
    inflict: async ({ bench, head }) => {
      await rm(imagePath(bench, head));
      return head;
    },
    reason: /image is missing, and there is no copy at rest/,
    snapshotWorks: true,
    repairable: false,
  },
  "the layer that the volume writes to is a directory": {
    inflict: async ({ bench, head }) => {
      await rm(imagePath(bench, head));
      await mkdir(imagePath(bench, head));
      return head;
    },
    reason: /EISDIR/,
    snapshotWorks: true,
    repairable: false,
  },
  "the header of the volume's layer names a file of the host": {
    inflict: async ({ bench, head }) => {
      execFileSync("qemu-img", [
        "rebase",
        "-u",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        "/etc/hostname",
        imagePath(bench, head),
      ]);
      return head;
    },
    reason: /tampered with/,
    snapshotWorks: true,
    repairable: false,
  },
  "the parent in the database is another one: a database from before a merge": {
    inflict: async ({ bench, head }) => {
      execFileSync("qemu-img", ["convert", "-O", "qcow2", imagePath(bench, head), `${imagePath(bench, head)}.merged`]);
      await rename(`${imagePath(bench, head)}.merged`, imagePath(bench, head));
      return head;
    },
    reason: /parent of its image is none, but in the database it is/,
    snapshotWorks: true,
    repairable: true,
  },
  "the volume's layer is sealed: a database from before a snapshot": {
    inflict: async ({ bench, head }) => {
      await chmod(imagePath(bench, head), 0o444);
      return head;
    },
    reason: /its image is sealed, but not in the database/,
    snapshotWorks: true,
    repairable: true,
  },
  "the bytes of a sealed layer changed, and the copy is good": {
    inflict: async ({ bench, layer }) => {
      const path = imagePath(bench, layer);
      await separate(path);
      await chmod(path, 0o600);
      execFileSync("qemu-io", ["-c", "write -P 9 100M 4k", path]);
      await chmod(path, 0o444);
      // Only the check reads whole images.
      const { content } = await checkVolumes(bench.ctx);
      for (const { subject, problem } of content) await markContent(bench.ctx, subject, problem);
      return layer;
    },
    reason: /not those that were sealed/,
    repairable: true,
  },
};

let bench: Workbench;
let owned: Owned;
/** Of another organisation, beside it. */
let other: string;
beforeEach(async () => {
  bench = await openWorkbench();
  const { db } = bench.ctx;
  await db.insertInto("orgs").values({ id: "org-2", slug: "two", created_at: 1, concurrent_sandboxes: null }).execute();
  const { id } = await createVolume(bench.ctx, bench.org, { slug: "data", region, capacity });
  await bench.io(id, "write -P 1 50M 64k");
  const { id: snapshot, layer } = await takeSnapshot(bench.ctx, bench.org, id, "snap");
  other = (await createVolume(bench.ctx, "org-2", { slug: "other", region, capacity })).id;
  await bench.io(other, "write -P 2 50M 64k");
  await bench.settle();
  const { head } = await db.selectFrom("volumes").select("head").where("id", "=", id).executeTakeFirstOrThrow();
  owned = { bench, volume: id, snapshot, layer, head };
  await bench.assertSound();
});
afterEach(() => bench.close());

const use = async (org: string, volume: string) => {
  const disks = await acquireDisks(bench.ctx, org, "sbx_x", { volumes: [{ volume, path: "/data" }] });
  await bench.ctx.layers.chain(disks.volumes[0]!.layers[0]);
  await releaseDisks(bench.ctx, "sbx_x");
};
const problems = async () =>
  (await checkVolumes(bench.ctx)).faults.map(({ subject, problem }) => `${subject}: ${problem}`).join("\n");

/** Whatever happened, the other organisation notices nothing. */
async function othersWork(): Promise<void> {
  await use("org-2", other);
  const { layer } = await takeSnapshot(bench.ctx, "org-2", other, "other-snap");
  const copy = await createVolume(bench.ctx, "org-2", { slug: "other-copy", region, capacity, from: "other-snap" });
  assert.match(await bench.io(copy.id, "read -P 2 50M 64k"), /read 65536/);
  await bench.settle();
  const { checksum } = await bench.ctx.db
    .selectFrom("layers")
    .select("checksum")
    .where("id", "=", layer)
    .executeTakeFirstOrThrow();
  assert.ok(checksum !== null, "background work goes on: the snapshot has a copy at rest");
}

describe("damage", () => {
  for (const [name, { inflict, reason, snapshotWorks, repairable }] of Object.entries(kinds)) {
    test(name, async () => {
      const subject = await inflict(owned);
      await recoverVolumes(bench.ctx);
      await othersWork();
      const { marks, volumes, snapshots } = await findDamaged(bench.ctx);
      assert.deepEqual(
        marks.map((mark) => mark.subject),
        [subject],
      );
      assert.match(marks[0]!.reason, reason);
      assert.deepEqual(volumes, [owned.volume]);
      assert.deepEqual(snapshots, snapshotWorks === true ? [] : [owned.snapshot]);
      const found = await problems();
      assert.match(found, new RegExp(`^${subject}: this layer is marked as damaged since`, "m"));
      assert.match(found, new RegExp(`^${owned.volume}: it needs layer ${subject}, which has a fault`, "m"));
      assert.doesNotMatch(found, new RegExp(`^${other}`, "m"));

      const refused = { code: "invalid_state", wireCode: "VOLUME_DAMAGED", message: /`data` is damaged on the node/ };
      await assert.rejects(use(bench.org, "data"), refused);
      await assert.rejects(takeSnapshot(bench.ctx, bench.org, "data", "again"), refused);
      const from = createVolume(bench.ctx, bench.org, { slug: "copy", region, capacity, from: "snap" });
      if (snapshotWorks === true) await from;
      else await assert.rejects(from, { wireCode: "SNAPSHOT_DAMAGED" });

      const repairs = await repair(bench.ctx, owned.volume);
      assert.deepEqual(
        repairs.map(({ problem }) => problem === undefined),
        [repairable],
        JSON.stringify(repairs),
      );
      if (repairable) {
        await use(bench.org, "data");
        assert.match(await bench.io(owned.volume, "read -P 1 50M 64k"), /read 65536/);
      }
      // The owner deletes the one, the operator drops the other.
      await deleteSnapshot(bench.ctx, bench.org, "snap");
      await drop(bench.ctx, owned.volume);
      if (snapshotWorks === true) await deleteVolume(bench.ctx, bench.org, "copy");
      await bench.ctx.db.updateTable("volumes").set({ reclaim_at: 1 }).where("state", "=", "deleted").execute();
      await bench.settle();
      await bench.assertSound();
      assert.deepEqual((await findDamaged(bench.ctx)).marks, []);
    });
  }

  test("a missing or damaged image whose copy is good comes back by itself", async () => {
    for (const damage of [(path: string) => rm(path), zeroHeader]) {
      const path = imagePath(bench, owned.layer);
      await separate(path);
      await damage(path);
      await recoverVolumes(bench.ctx);
      await bench.assertSound();
    }
    // Also while the server runs, when it is used.
    await separate(imagePath(bench, owned.layer));
    await rm(imagePath(bench, owned.layer));
    await use(bench.org, "data");
    await bench.assertSound();
  });

  test("damage is found when a volume is used, and the mark goes when the image is back", async () => {
    const path = imagePath(bench, owned.head);
    await rename(path, `${path}.away`);
    await assert.rejects(use(bench.org, "data"), { wireCode: "VOLUME_DAMAGED" });
    await rename(`${path}.away`, path);
    await recoverVolumes(bench.ctx);
    await use(bench.org, "data");
    await bench.assertSound();
  });

  test("a missing copy at rest is made again, and named until then; a damaged one is named", async () => {
    const copy = await copyPath(bench, owned.layer);
    await rm(copy);
    assert.match(await problems(), new RegExp(`^${owned.layer}: its copy at rest is missing`, "m"));
    await settleCopies(bench.ctx, never);
    await bench.assertSound();
    await separate(imagePath(bench, owned.layer));
    await chmod(copy, 0o600);
    await truncate(copy, 1000);
    await use(bench.org, "data");
    assert.match(await problems(), new RegExp(`^${owned.layer}: its copy at rest is damaged`, "m"));
  });

  test("a damaged built-in image stops no new bootable volume", async () => {
    const from = "builtin:debian-13";
    const first = await createVolume(bench.ctx, bench.org, { slug: "root", region, capacity, from });
    const { parent } = await bench.ctx.db
      .selectFrom("layers")
      .select("parent")
      .where("id", "=", first.head)
      .executeTakeFirstOrThrow();
    await rm(imagePath(bench, parent!));
    await recoverVolumes(bench.ctx);
    const second = await createVolume(bench.ctx, "org-2", { slug: "root-2", region, capacity, from });
    await acquireDisks(bench.ctx, "org-2", "sbx_y", { root: second.id, volumes: [] });
    await releaseDisks(bench.ctx, "sbx_y");
    await assert.rejects(acquireDisks(bench.ctx, bench.org, "sbx_z", { root: first.id, volumes: [] }), {
      wireCode: "VOLUME_DAMAGED",
    });
  });

  test("a sandbox whose volume was damaged meanwhile ends, and its other volume is free", async () => {
    const second = await createVolume(bench.ctx, bench.org, { slug: "second", region, capacity });
    const volumes = [
      { volume: "data", path: "/data" },
      { volume: "second", path: "/second" },
    ];
    await acquireDisks(bench.ctx, bench.org, "sbx_two", { volumes });
    // A snapshot that was interrupted by a crash, and then its layer was lost.
    bench.machines.set("sbx_two", {
      overlayDisk: () => Promise.reject(new Error("crashed")),
      diskLayers: () => Promise.reject(new Error("crashed")),
    });
    await takeSnapshot(bench.ctx, bench.org, "data", "interrupted").catch(() => undefined);
    bench.machines.clear();
    await rm(imagePath(bench, owned.head));
    await releaseDisks(bench.ctx, "sbx_two");
    await use(bench.org, second.id);
    await assert.rejects(use(bench.org, "data"), { wireCode: "VOLUME_DAMAGED" });
    await drop(bench.ctx, owned.volume);
    await recoverVolumes(bench.ctx);
    await bench.settle();
    await bench.assertSound();
  });
});

test("a monitor that does not answer concerns its machine alone", async () => {
  await acquireDisks(bench.ctx, bench.org, "sbx_hostile", { volumes: [{ volume: "data", path: "/data" }] });
  const silent = async () => {
    throw Object.assign(await import("@caisson/protocol").then((m) => new m.CaissonError("timeout", "No answer.")));
  };
  bench.machines.set("sbx_hostile", { overlayDisk: silent, diskLayers: silent });
  await assert.rejects(takeSnapshot(bench.ctx, bench.org, "data", "hostile"), { code: "timeout" });
  const { settled } = await recoverVolumes(bench.ctx);
  assert.deepEqual(settled, []);
  await othersWork();
  assert.deepEqual((await findDamaged(bench.ctx)).marks, []);
  await assert.rejects(takeSnapshot(bench.ctx, bench.org, "data", "again"), { wireCode: "VOLUME_BUSY" });
  // When it has ended, its disk says what holds.
  bench.machines.delete("sbx_hostile");
  await releaseDisks(bench.ctx, "sbx_hostile");
  await use(bench.org, "data");
  await bench.settle();
  await bench.assertSound();
});

test("after the restore of an older database nothing is deleted at once: copies it does not know are kept for a time", async () => {
  const { db, nodeId } = bench.ctx;
  const copies = () => readdir(join(bench.directory, "volumes", "blobs"));
  const before = await copies();
  // What an older database looks like: it does not know the snapshot's copy.
  const { checksum } = await db
    .selectFrom("layers")
    .select("checksum")
    .where("id", "=", owned.layer)
    .executeTakeFirstOrThrow();
  await db.updateTable("layers").set({ checksum: null }).where("id", "=", owned.layer).execute();
  await recoverVolumes(bench.ctx);
  await settleCopies(bench.ctx, never);
  await settleCopies(bench.ctx, never);
  assert.deepEqual(await copies(), before);
  const report = await checkVolumes(bench.ctx);
  assert.deepEqual(
    report.unknownCopies.map(({ digest }) => digest),
    [checksum],
  );
  assert.deepEqual(report.faults, []);
  // Known again: no longer noted. Unknown for longer than configured: removed.
  await bench.settle();
  await settleCopies(bench.ctx, never);
  assert.deepEqual((await checkVolumes(bench.ctx)).unknownCopies, []);
  await db.updateTable("layers").set({ checksum: null }).where("id", "=", owned.layer).execute();
  await settleCopies(bench.ctx, never);
  const week = bench.ctx.config.volumes.keepUnknownCopies * 1000;
  await db
    .updateTable("unknown_copies")
    .set({ found_at: Date.now() - week - 1 })
    .where("node_id", "=", nodeId)
    .execute();
  await settleCopies(bench.ctx, never);
  await assert.rejects(stat(join(bench.directory, "volumes", "blobs", checksum!)), { code: "ENOENT" });
});
