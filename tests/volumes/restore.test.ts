/** Backup and restore as docs/backup.md describes them: an online copy of the database, then more work, then the older database over the newer images. */
import assert from "node:assert/strict";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { findDamaged } from "../../packages/server/src/layers/damage.ts";
import { createVolume } from "../../packages/server/src/volumes/create-volume.ts";
import { deleteSnapshot, deleteVolume } from "../../packages/server/src/volumes/delete.ts";
import { acquireDisks, releaseDisks } from "../../packages/server/src/volumes/leases.ts";
import { recoverVolumes } from "../../packages/server/src/volumes/recover.ts";
import { drop, repair } from "../../packages/server/src/volumes/repair.ts";
import { takeSnapshot } from "../../packages/server/src/volumes/take-snapshot.ts";
import { openWorkbench } from "./workbench.ts";

const region = "ord";
const capacity = 300e6;

test("an older database finds every volume again, with the newest content", async () => {
  const directory = await mkdtemp(join(tmpdir(), "caisson-restore-"));
  after(() => rm(directory, { recursive: true }));
  const database = join(directory, "caisson.db");
  const backup = join(directory, "backup.db");
  const options = { directory };
  const first = await openWorkbench({ reclaimAfter: 0 }, options);
  const create = (slug: string) => createVolume(first.ctx, first.org, { slug, region, capacity });
  const [still, snapped, merged, removed] = [
    await create("still"),
    await create("snapped"),
    await create("merged"),
    await create("removed"),
  ];
  for (const [index, { id }] of [still, snapped, merged, removed].entries())
    await first.io(id, `write -P ${index + 1} 1M 64k`);
  await takeSnapshot(first.ctx, first.org, "snapped", "kept");
  for (const slug of ["m1", "m2"]) await takeSnapshot(first.ctx, first.org, "merged", slug);
  await first.settle();

  const online = new DatabaseSync(database);
  online.exec(`VACUUM INTO '${backup}'`);
  online.close();

  await takeSnapshot(first.ctx, first.org, "snapped", "later");
  await first.io(snapped.id, "write -P 9 2M 64k");
  for (const slug of ["m1", "m2"]) await deleteSnapshot(first.ctx, first.org, slug);
  await deleteVolume(first.ctx, first.org, "removed");
  const newer = await create("newer");
  await first.settle();
  await first.assertSound();
  await first.close();

  for (const suffix of ["-wal", "-shm"]) await rm(database + suffix, { force: true });
  await copyFile(backup, database);
  const second = await openWorkbench({}, options);
  try {
    await recoverVolumes(second.ctx);
    await second.settle();
    const use = async (slug: string) => {
      await acquireDisks(second.ctx, second.org, "sbx", { volumes: [{ volume: slug, path: "/data" }] });
      await releaseDisks(second.ctx, "sbx");
    };
    await use("still");
    assert.match(await second.io(still.id, "read -P 1 1M 64k"), /read 65536/);
    // Refused until the operator has decided: nothing is guessed.
    assert.deepEqual(new Set((await findDamaged(second.ctx)).volumes), new Set([snapped.id, merged.id, removed.id]));
    await assert.rejects(use("merged"), { wireCode: "VOLUME_DAMAGED" });
    for (const { id } of [snapped, merged])
      for (const { problem } of await repair(second.ctx, id)) assert.equal(problem, undefined);
    for (const slug of ["snapped", "merged"]) await use(slug);
    assert.match(await second.io(snapped.id, "read -P 2 1M 64k"), /read 65536/);
    assert.match(await second.io(merged.id, "read -P 3 1M 64k"), /read 65536/);
    // Snapshots of merged layers, and what was deleted, are lost.
    for (const id of (await findDamaged(second.ctx)).snapshots) await drop(second.ctx, id);
    await drop(second.ctx, removed.id);
    await second.settle();
    assert.deepEqual((await findDamaged(second.ctx)).marks, []);
    // The image of what is newer than the database is still there.
    const { files } = await second.ctx.layers.list();
    assert.ok(files.some(({ id }) => id === newer.head));
  } finally {
    await second.close();
  }
});
