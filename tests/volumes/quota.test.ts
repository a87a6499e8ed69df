/** What an organisation stores is bounded: the limit is compared with what really is on the disk. */
import assert from "node:assert/strict";
import { readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { startPostgres, type TestPostgres } from "@caisson/testing";
import { storedBytes } from "../../packages/server/src/layers/stored-bytes.ts";
import { createVolume } from "../../packages/server/src/volumes/create-volume.ts";
import { deleteSnapshot, deleteVolume } from "../../packages/server/src/volumes/delete.ts";
import { acquireDisks, releaseDisks } from "../../packages/server/src/volumes/leases.ts";
import { takeSnapshot } from "../../packages/server/src/volumes/take-snapshot.ts";
import { openWorkbench, type Workbench } from "./workbench.ts";

for (const kind of ["SQLite", "PostgreSQL"] as const) {
  describe(`limits of an organisation with ${kind}`, () => {
    let postgres: TestPostgres | undefined;
    let bench: Workbench;
    before(async () => {
      postgres = kind === "PostgreSQL" ? await startPostgres() : undefined;
    });
    after(() => postgres?.stop());
    afterEach(async () => {
      await bench.assertSound();
      await bench.close();
    });

    const open = async (volumes: object) => {
      bench = await openWorkbench(volumes, { databaseUrl: postgres?.url });
    };
    const create = (slug: string, capacity: number, from?: string) =>
      createVolume(bench.ctx, bench.org, { slug, region: "ord", capacity, from });
    const snapshot = (volume: string, slug: string) => takeSnapshot(bench.ctx, bench.org, volume, slug);
    const layers = () => join(bench.directory, "volumes", "layers");
    /** Bytes of all images, as the file system counts them. */
    const onDisk = async () => {
      const names = await readdir(layers());
      const files = await Promise.all(names.map((name) => stat(join(layers(), name))));
      return files.reduce((sum, { blocks }) => sum + blocks * 512, 0);
    };
    const stored = () => storedBytes(bench.ctx.db, bench.org);
    const limitReached = { status: 429, wireCode: "VOLUME_LIMIT_REACHED" };

    test("a volume that is rewritten and snapshotted again and again fills its limit and no more", async (t) => {
      const maxBytes = 400e6;
      await open({ maxBytes, reclaimAfter: 0 });
      const volume = await create("work", 300e6);
      const refusals: Error[] = [];
      let taken = 0;
      for (let round = 1; round <= 6; round++) {
        await bench.io(volume.id, `write -P ${round} 10M 40M`);
        await snapshot("work", `s${round}`).then(
          () => taken++,
          (error: Error) => refusals.push(error),
        );
        assert.ok((await onDisk()) <= maxBytes);
      }
      t.diagnostic(`${taken} snapshots, ${await onDisk()} bytes; refused: ${refusals[0]?.message}`);
      assert.equal(taken, 2);
      await assert.rejects(snapshot("work", "more"), {
        ...limitReached,
        message: /Delete a snapshot or volume first; the largest snapshots are `s[12]` \(4\d{7} bytes\), `s[12]`/,
      });
      // The volume itself can still be filled to its capacity.
      await bench.io(volume.id, "write -P 9 0 285M");
      assert.ok((await onDisk()) <= maxBytes);
      await bench.io(volume.id, "discard 0 285M", "write -P 7 10M 20M");
      await deleteSnapshot(bench.ctx, bench.org, "s1");
      await deleteSnapshot(bench.ctx, bench.org, "s2");
      await bench.settle();
      assert.equal((await stored()).snapshots, 0);
      await snapshot("work", "again");
      assert.ok((await onDisk()) <= maxBytes);
    });

    // What follows is the same work on either database.
    if (kind === "PostgreSQL") return;

    test("a mounted volume can become as large as its capacity while its snapshot is taken, so that much must be free", async () => {
      await open({ maxBytes: 500e6 });
      const volume = await create("work", 300e6);
      await acquireDisks(bench.ctx, bench.org, "sbx-1", { volumes: [{ volume: "work", path: "/data" }] });
      bench.machines.set("sbx-1", { overlayDisk: () => assert.fail("the guest"), diskLayers: async () => ({}) });
      await assert.rejects(snapshot("work", "first"), limitReached);
      bench.machines.delete("sbx-1");
      await releaseDisks(bench.ctx, "sbx-1");
      await snapshot(volume.id, "first");
    });

    test("a deleted volume counts with what it takes until its space is freed", async () => {
      await open({ maxBytes: 700e6, reclaimAfter: 3600 });
      const volume = await create("old", 400e6);
      await bench.io(volume.id, "write -P 1 10M 100M");
      await deleteVolume(bench.ctx, bench.org, "old");
      const { deleted } = await stored();
      assert.ok(deleted > 100e6 && deleted < 120e6, `${deleted}`);
      await create("new", 400e6);
      await assert.rejects(create("newer", 300e6), { ...limitReached, message: /Deleted volumes free their space/ });
      await bench.ctx.db.updateTable("volumes").set({ reclaim_at: 1 }).where("state", "=", "deleted").execute();
      await bench.settle();
      assert.equal((await stored()).deleted, 0);
      await create("newer", 300e6);
    });

    test("creations that fail give back what they counted", async () => {
      await open({ maxBytes: 300e6 });
      await rename(layers(), `${layers()}-away`);
      for (let attempt = 0; attempt < 3; attempt++) await assert.rejects(create("work", 300e6));
      await rename(`${layers()}-away`, layers());
      assert.equal((await stored()).total, 0);
      const volume = await create("work", 300e6);
      // One that could not even be undone: the database failed as well, or the server was killed.
      await bench.ctx.db.updateTable("volumes").set({ state: "creating", created_at: 1 }).execute();
      await assert.rejects(create("other", 300e6), limitReached);
      await bench.settle();
      assert.equal((await stored()).total, 0);
      assert.notEqual((await create("work", 300e6)).id, volume.id);
    });

    test("the background work stores no more than the limit either, and counts what it changes", async () => {
      await open({ maxBytes: 1e9 });
      const volume = await create("deep", 300e6);
      for (let round = 1; round <= 18; round++) {
        await bench.io(volume.id, `write -P ${round} ${10 * round}M 1M`);
        await snapshot("deep", `s${round}`);
      }
      const limits = bench.ctx.config.volumes;
      const { total } = await stored();
      limits.maxBytes = total + 1e6;
      await bench.settle();
      assert.equal((await stored()).total, total);
      limits.maxBytes = 1e9;
      await bench.settle();
      assert.ok((await stored()).total > total + 10e6);
      const rows = await bench.ctx.db.selectFrom("layers").select(["id", "bytes"]).where("sealed", "=", 1).execute();
      for (const { id, bytes } of rows) assert.equal(bytes, (await bench.ctx.layers.stat(id))?.fileBytes);
    });
  });
}
