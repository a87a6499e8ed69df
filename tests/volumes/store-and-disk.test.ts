import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { fullVariable, startPostgres, until, type TestPostgres } from "@caisson/testing";
import { createVolume } from "../../packages/server/src/volumes/create-volume.ts";
import { deleteSnapshot, deleteVolume, restoreVolume } from "../../packages/server/src/volumes/delete.ts";
import { acquireDisks, releaseDisks } from "../../packages/server/src/volumes/leases.ts";
import { findVolume, listSnapshots, listVolumes } from "../../packages/server/src/volumes/lookup.ts";
import { refreshVolume } from "../../packages/server/src/layers/sizes.ts";
import { takeSnapshot } from "../../packages/server/src/volumes/take-snapshot.ts";
import { openWorkbench, type Workbench } from "./workbench.ts";

/** The statements are the same on both; the short run has the one that most installations use. */
const kinds = process.env[fullVariable] === "1" ? (["SQLite", "PostgreSQL"] as const) : (["SQLite"] as const);

for (const kind of kinds) {
  describe(`volumes with ${kind}`, () => {
    let postgres: TestPostgres | undefined;
    before(async () => {
      postgres = kind === "PostgreSQL" ? await startPostgres() : undefined;
    });
    after(() => postgres?.stop());
    let bench: Workbench;
    beforeEach(async () => {
      bench = await openWorkbench({ reclaimAfter: 0 }, { databaseUrl: postgres?.url });
    });
    afterEach(async () => {
      await bench.assertSound();
      await bench.close();
    });

    const create = (slug: string, from?: string, capacity = 300e6) =>
      createVolume(bench.ctx, bench.org, { slug, region: "ord", capacity, from });
    const snapshot = (volume: string, slug: string) => takeSnapshot(bench.ctx, bench.org, volume, slug);
    const files = async () => (await readdir(join(bench.directory, "volumes", "layers"))).length;

    test("a new volume reports what the contract says, and grows by what is written", async () => {
      const plain = await create("plain", undefined, 1e9);
      assert.deepEqual([plain.allocated_bytes, plain.flattened_bytes, plain.bootable], [8797184, 8797184, 0]);
      const root = await create("root", "builtin:debian-13", 1e9);
      assert.deepEqual(
        [root.allocated_bytes, root.flattened_bytes, root.bootable, root.base_image],
        [0, 0, 1, "base-1"],
      );
      await bench.io(plain.id, "write -P 1 500M 1M");
      await refreshVolume(bench.ctx, plain.id);
      assert.equal((await findVolume(bench.ctx.db, bench.org, "plain"))?.allocated_bytes, 8797184 + 2 ** 20);
    });

    test("a slug belongs to one volume or snapshot of an organisation, until that is deleted", async () => {
      await create("data");
      await assert.rejects(create("data"), { status: 409, wireCode: "SLUG_ALREADY_IN_USE" });
      await assert.rejects(snapshot("data", "data"), { status: 409, wireCode: "SLUG_ALREADY_IN_USE" });
      await deleteVolume(bench.ctx, bench.org, "data");
      await create("data");
    });

    test("bounds: region, built-in images, capacity under the snapshot's, count and bytes of an organisation, free disk", async () => {
      await assert.rejects(createVolume(bench.ctx, bench.org, { slug: "ab", region: "ams", capacity: 300e6 }), {
        status: 400,
        message: /region/,
      });
      await assert.rejects(create("ab", "builtin:debian-12"), { status: 400, message: /builtin:debian-13/ });
      await assert.rejects(create("ab", "nothing"), { status: 404 });
      await create("big", undefined, 400e6);
      await snapshot("big", "snap");
      await assert.rejects(create("small", "snap", 300e6), { status: 400, message: /at least/ });
      const tight = await openWorkbench({ maxCount: 2, maxBytes: 700e6 });
      try {
        const tightly = (slug: string, capacity: number) =>
          createVolume(tight.ctx, tight.org, { slug, region: "ord", capacity });
        await tightly("a1", 400e6);
        await assert.rejects(tightly("a2", 400e6), { status: 429, wireCode: "VOLUME_LIMIT_REACHED", message: /bytes/ });
        await tightly("a2", 300e6);
        await assert.rejects(takeSnapshot(tight.ctx, tight.org, "a1", "s1"), {
          status: 429,
          message: /2 volumes and snapshots; the limit is 2/,
        });
        await tight.assertSound();
      } finally {
        await tight.close();
      }
      const full = await openWorkbench({ minFreeDisk: 2 ** 52 });
      try {
        await assert.rejects(createVolume(full.ctx, full.org, { slug: "ab", region: "ord", capacity: 300e6 }), {
          status: 429,
          wireCode: "DISK_FULL",
        });
      } finally {
        await full.close();
      }
    });

    test("a snapshot keeps what was there, the volume goes on, volumes from it begin with it", async () => {
      const volume = await create("work");
      await bench.io(volume.id, "write -P 1 100M 1M");
      const first = await snapshot("work", "first");
      assert.equal(first.state, "ready");
      assert.deepEqual([first.volume, first.volume_slug], [volume.id, "work"]);
      // A snapshot does not wait long for its size, which then comes later.
      const size = async () =>
        (await listSnapshots(bench.ctx.db, { orgId: bench.org, limit: 10 })).find(({ id }) => id === first.id);
      await until(10_000, "the size of the snapshot", async () =>
        (await size())?.allocated_bytes === 8797184 + 2 ** 20 ? true : undefined,
      );
      await bench.io(volume.id, "write -P 2 100M 1M");
      bench.read(first.layer, "read -P 1 100M 1M");
      const copy = await create("copy", "first", 500e6);
      await bench.io(copy.id, "read -P 1 100M 1M", "write -P 3 100M 64k");
      await refreshVolume(bench.ctx, copy.id);
      const found = await findVolume(bench.ctx.db, bench.org, copy.id);
      assert.equal(found?.allocated_bytes, 65536);
      assert.equal(found?.flattened_bytes, 8797184 + 2 ** 20);
      assert.equal(found?.base_snapshot, first.id);
      bench.read(first.layer, "read -P 1 100M 1M");
    });

    test("deletes in any order leave the rest readable and give the space back", async () => {
      const empty = await files();
      for (let seed = 1; seed <= (kind === "SQLite" ? 3 : 1); seed++) {
        const alive = new Map<string, { kind: "volume" | "snapshot"; pattern: number[] }>();
        let base: string | undefined;
        for (let generation = 0; generation < 5; generation++) {
          const volume = await create(`v${generation}`, base);
          await bench.io(volume.id, `write -P ${generation + 1} ${50 + generation}M 1M`);
          base = `s${generation}`;
          await snapshot(volume.slug, base);
          const pattern = Array.from({ length: generation + 1 }, (_, index) => index + 1);
          alive.set(volume.slug, { kind: "volume", pattern }).set(base, { kind: "snapshot", pattern });
        }
        for (const name of shuffled([...alive.keys()], seed)) {
          await (alive.get(name)!.kind === "volume" ? deleteVolume : deleteSnapshot)(bench.ctx, bench.org, name);
          alive.delete(name);
          if (seed % 2 === 0 || alive.size % 3 === 0) await bench.settle();
          for (const [other, { kind, pattern }] of alive) {
            const layer =
              kind === "volume"
                ? (
                    await bench.ctx.db
                      .selectFrom("volumes")
                      .select("head")
                      .where("slug", "=", other)
                      .where("state", "=", "ready")
                      .executeTakeFirstOrThrow()
                  ).head
                : (
                    await bench.ctx.db
                      .selectFrom("snapshots")
                      .select("layer")
                      .where("slug", "=", other)
                      .executeTakeFirstOrThrow()
                  ).layer;
            bench.read(layer, ...pattern.map((byte) => `read -P ${byte} ${49 + byte}M 1M`));
          }
        }
        await bench.settle();
        assert.equal(await files(), empty, `after seed ${seed}`);
      }
    });

    test("a volume has one sandbox at a time, a snapshot as many as want it", async () => {
      const volume = await create("root", "builtin:debian-13");
      await create("data");
      await snapshot("root", "image");
      const disks = await acquireDisks(bench.ctx, bench.org, "sbx_1", {
        root: "root",
        volumes: [{ volume: "data", path: "/data" }],
      });
      assert.equal(disks.root?.serial, "root");
      assert.deepEqual(
        disks.volumes.map(({ path, readOnly }) => [path, readOnly]),
        [["/data", false]],
      );
      assert.ok(disks.volumes[0]!.serial.length <= 20);
      for (const request of [{ volumes: [{ volume: "data", path: "/d" }] }, { root: "root", volumes: [] }]) {
        await assert.rejects(acquireDisks(bench.ctx, bench.org, "sbx_2", request), {
          status: 409,
          wireCode: "VOLUME_ATTACHED",
          message: /sbx_1/,
        });
      }
      await assert.rejects(deleteVolume(bench.ctx, bench.org, "data"), { status: 409, wireCode: "VOLUME_ATTACHED" });
      const [one, two] = [
        await acquireDisks(bench.ctx, bench.org, "sbx_3", { root: "image", volumes: [] }),
        await acquireDisks(bench.ctx, bench.org, "sbx_4", { root: "image", volumes: [] }),
      ];
      assert.notEqual(one.root?.layers[0], two.root?.layers[0]);
      assert.deepEqual(one.root?.layers.slice(1), two.root?.layers.slice(1));
      // Deleted while in use: those who use it keep it.
      await deleteSnapshot(bench.ctx, bench.org, "image");
      await bench.settle();
      for (const sandbox of ["sbx_1", "sbx_2", "sbx_3", "sbx_4"]) {
        bench.machines.clear();
        await releaseDisks(bench.ctx, sandbox);
      }
      await acquireDisks(bench.ctx, bench.org, "sbx_5", { root: volume.id, volumes: [] });
      await releaseDisks(bench.ctx, "sbx_5");
    });

    test("a request for several disks takes all or none", async () => {
      await create("one");
      await create("two");
      await acquireDisks(bench.ctx, bench.org, "sbx_1", { volumes: [{ volume: "two", path: "/two" }] });
      const both = {
        volumes: [
          { volume: "one", path: "/one" },
          { volume: "two", path: "/two" },
        ],
      };
      await assert.rejects(acquireDisks(bench.ctx, bench.org, "sbx_2", both), { status: 409 });
      await releaseDisks(bench.ctx, "sbx_1");
      assert.equal((await acquireDisks(bench.ctx, bench.org, "sbx_2", both)).volumes.length, 2);
      await releaseDisks(bench.ctx, "sbx_2");
      await assert.rejects(acquireDisks(bench.ctx, bench.org, "sbx_3", { root: "one", volumes: [] }), {
        status: 400,
        wireCode: "NOT_BOOTABLE",
      });
      await assert.rejects(
        acquireDisks(bench.ctx, bench.org, "sbx_3", {
          volumes: [
            { volume: "one", path: "/a" },
            { volume: "one", path: "/b" },
          ],
        }),
        { status: 400 },
      );
    });

    test("attaching at once from many sides succeeds exactly once", async () => {
      await create("data");
      const tries = await Promise.allSettled(
        Array.from({ length: 12 }, (_, index) =>
          acquireDisks(bench.ctx, bench.org, `sbx_${index}`, { volumes: [{ volume: "data", path: "/data" }] }),
        ),
      );
      assert.equal(tries.filter(({ status }) => status === "fulfilled").length, 1);
      const { attached_to } = (await findVolume(bench.ctx.db, bench.org, "data"))!;
      await releaseDisks(bench.ctx, attached_to!);
    });

    test("another organisation sees and touches nothing of this one", async () => {
      await bench.ctx.db
        .insertInto("orgs")
        .values({ id: "org-2", slug: "two", created_at: 1, concurrent_sandboxes: null })
        .execute();
      const volume = await create("data");
      const snap = await snapshot("data", "snap");
      assert.equal(await findVolume(bench.ctx.db, "org-2", volume.id), undefined);
      for (const attempt of [
        () => deleteVolume(bench.ctx, "org-2", volume.id),
        () => deleteSnapshot(bench.ctx, "org-2", snap.id),
        () => takeSnapshot(bench.ctx, "org-2", volume.id, "mine"),
        () => createVolume(bench.ctx, "org-2", { slug: "mine", region: "ord", capacity: 300e6, from: snap.id }),
        () => acquireDisks(bench.ctx, "org-2", "sbx_1", { volumes: [{ volume: volume.id, path: "/x" }] }),
      ]) {
        await assert.rejects(attempt(), { status: 404 });
      }
      await createVolume(bench.ctx, "org-2", { slug: "data", region: "ord", capacity: 300e6 });
    });

    test("lists are paged newest first and searched by part of the name", async () => {
      for (let index = 0; index < 7; index++) {
        await create(`data-${index}`);
        await snapshot(`data-${index}`, `copy-${index}`);
      }
      const first = await listVolumes(bench.ctx.db, { orgId: bench.org, limit: 3 });
      const last = first.at(-1)!.volume;
      const next = await listVolumes(bench.ctx.db, {
        orgId: bench.org,
        limit: 10,
        before: { createdAt: last.created_at, id: last.id },
      });
      assert.deepEqual(
        [...first, ...next].map(({ volume }) => volume.slug),
        [6, 5, 4, 3, 2, 1, 0].map((index) => `data-${index}`),
      );
      assert.deepEqual(
        (await listSnapshots(bench.ctx.db, { orgId: bench.org, limit: 10, search: "Y-3" })).map(({ slug }) => slug),
        ["copy-3"],
      );
      assert.deepEqual(await listVolumes(bench.ctx.db, { orgId: bench.org, limit: 10, search: "%" }), []);
    });

    test("a deleted volume can be restored until it is reclaimed", async () => {
      const volume = await create("data");
      await bench.io(volume.id, "write -P 5 100M 64k");
      await deleteVolume(bench.ctx, bench.org, "data");
      assert.equal(await findVolume(bench.ctx.db, bench.org, volume.id), undefined);
      await create("data");
      await assert.rejects(restoreVolume(bench.ctx, volume.id), { wireCode: "SLUG_ALREADY_IN_USE" });
      await restoreVolume(bench.ctx, volume.id, "data-again");
      await bench.io(volume.id, "read -P 5 100M 64k");
      await deleteVolume(bench.ctx, bench.org, "data-again");
      await bench.settle();
      await assert.rejects(restoreVolume(bench.ctx, volume.id), { status: 404 });
    });

    test("a long line of generations is kept short in the background, with every content as it was", async () => {
      let base: string | undefined;
      const generations = 18;
      for (let generation = 0; generation < generations; generation++) {
        const volume = await create(`v${generation}`, base);
        await bench.io(volume.id, `write -P ${generation + 1} ${20 + generation}M 256k`);
        base = `s${generation}`;
        await snapshot(volume.slug, base);
      }
      await bench.settle();
      const { layer } = await bench.ctx.db
        .selectFrom("snapshots")
        .select("layer")
        .where("slug", "=", base!)
        .executeTakeFirstOrThrow();
      const chain = await bench.ctx.layers.chain(layer);
      assert.ok(chain.length <= 16, `${chain.length} layers`);
      bench.read(
        layer,
        ...Array.from({ length: generations }, (_, index) => `read -P ${index + 1} ${20 + index}M 256k`),
      );
    });
  });
}

/** A shuffle that can be repeated. */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  const result = [...items];
  let state = seed;
  for (let index = result.length - 1; index > 0; index--) {
    state = (state * 48271) % 2147483647;
    const other = state % (index + 1);
    [result[index], result[other]] = [result[other]!, result[index]!];
  }
  return result;
}
