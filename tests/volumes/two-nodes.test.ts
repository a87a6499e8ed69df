/** Two nodes on one database: each works on its own images only, and everybody sees all volumes of their organisation. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { startPostgres, type TestPostgres } from "@caisson/testing";
import { Nodes } from "../../packages/server/src/nodes/nodes.ts";
import type { NodeDatabase } from "../../packages/server/src/nodes/tables.ts";
import { createVolume } from "../../packages/server/src/volumes/create-volume.ts";
import { deleteSnapshot, deleteVolume } from "../../packages/server/src/volumes/delete.ts";
import { acquireDisks, releaseDisks } from "../../packages/server/src/volumes/leases.ts";
import { listSnapshots, listVolumes } from "../../packages/server/src/volumes/lookup.ts";
import { claimRows, recoverVolumes } from "../../packages/server/src/volumes/recover.ts";
import { takeSnapshot } from "../../packages/server/src/volumes/take-snapshot.ts";
import { openWorkbench, type Workbench } from "./workbench.ts";

let postgres: TestPostgres;
let one: Workbench;
let two: Workbench;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());
beforeEach(async () => {
  one = await openWorkbench({ reclaimAfter: 0 }, { databaseUrl: postgres.url });
  two = await openWorkbench({ reclaimAfter: 0 }, { databaseUrl: postgres.url, nodeId: "n2" });
});
afterEach(async () => {
  for (const bench of [one, two]) await bench.assertSound();
  await two.close();
  await one.close();
});

const create = (bench: Workbench, slug: string, from?: string) =>
  createVolume(bench.ctx, bench.org, { slug, region: "ord", capacity: 300e6, from });
const images = async (bench: Workbench) => (await readdir(join(bench.directory, "volumes", "layers"))).toSorted();

test("background work and recovery of one node leave the other's volumes, leases and unfinished work alone", async () => {
  await create(one, "root", "builtin:debian-13");
  const data = await create(one, "data");
  await takeSnapshot(one.ctx, one.org, "data", "data-snap");
  await acquireDisks(one.ctx, one.org, "sbx_one", {
    root: "root",
    volumes: [{ volume: "data", path: "/data" }],
  });
  await create(one, "gone");
  await deleteVolume(one.ctx, one.org, "gone");
  // A volume that is being created at this moment, and a layer that is being removed.
  await one.ctx.db.updateTable("volumes").set({ state: "creating" }).where("id", "=", data.id).execute();
  const before = await images(one);
  const rows = () => one.ctx.db.selectFrom("layers").selectAll().where("node_id", "=", "n1").orderBy("id").execute();
  const layers = await rows();

  // The second node runs no machine of the first one.
  assert.deepEqual(await recoverVolumes(two.ctx), { undone: [], settled: [], released: [] });
  await two.settle();
  await two.assertSound();
  assert.deepEqual(await images(one), before);
  assert.deepEqual(await rows(), layers);
  assert.deepEqual(await images(two), []);

  await one.ctx.db.updateTable("volumes").set({ state: "ready" }).where("id", "=", data.id).execute();
  one.machines.clear();
  assert.deepEqual((await recoverVolumes(one.ctx)).released, ["sbx_one"]);
});

test("both nodes can have the built-in image of one size", async () => {
  const [first, second] = [
    await create(one, "root-1", "builtin:debian-13"),
    await create(two, "root-2", "builtin:debian-13"),
  ];
  const parents = await one.ctx.db
    .selectFrom("layers")
    .select("parent")
    .where("id", "in", [first.head, second.head])
    .execute();
  assert.deepEqual(
    parents.map(({ parent }) => String(parent)).toSorted((a, b) => a.localeCompare(b)),
    ["builtin-n1-300000000", "builtin-n2-300000000"],
  );
  for (const [bench, root] of [
    [one, "root-1"],
    [two, "root-2"],
  ] as const) {
    await acquireDisks(bench.ctx, bench.org, `sbx_${root}`, { root, volumes: [] });
    await releaseDisks(bench.ctx, `sbx_${root}`);
  }
});

test("volumes of the other node are listed, refused for use with a reason, and can be deleted", async () => {
  const volume = await create(one, "root", "builtin:debian-13");
  const snapshot = await takeSnapshot(one.ctx, one.org, "root", "image");
  const page = { orgId: two.org, limit: 10 };
  assert.deepEqual(
    (await listVolumes(two.ctx.db, page)).map(({ volume: { id } }) => id),
    [volume.id],
  );
  assert.deepEqual(
    (await listSnapshots(two.ctx.db, page)).map(({ id }) => id),
    [snapshot.id],
  );
  await assert.rejects(create(two, "root"), { wireCode: "SLUG_ALREADY_IN_USE" });
  for (const attempt of [
    () => acquireDisks(two.ctx, two.org, "sbx_two", { volumes: [{ volume: "root", path: "/data" }] }),
    () => acquireDisks(two.ctx, two.org, "sbx_two", { root: "root", volumes: [] }),
    () => acquireDisks(two.ctx, two.org, "sbx_two", { root: "image", volumes: [] }),
    () => takeSnapshot(two.ctx, two.org, "root", "second"),
    () => create(two, "copy", "image"),
  ]) {
    await assert.rejects(attempt(), {
      code: "invalid_state",
      message: /is stored on node n1, but this server uses node n2/,
    });
  }
  assert.deepEqual(await images(two), []);
  await deleteSnapshot(two.ctx, two.org, "image");
  await deleteVolume(two.ctx, two.org, "root");
  await two.settle();
  assert.notDeepEqual(await images(one), []);
  await one.settle();
  assert.deepEqual(await images(one), []);
});

test("what was written before there were nodes belongs to the first one that registers, and to no other", async () => {
  const volume = await create(one, "data");
  await acquireDisks(one.ctx, one.org, "sbx_one", { volumes: [{ volume: "data", path: "/data" }] });
  for (const table of ["layers", "volumes", "disk_leases"] as const)
    await one.ctx.db
      .updateTable(table)
      .set({ node_id: null as unknown as string })
      .execute();
  for (const { ctx } of [one, two]) {
    const nodes = new Nodes({ db: ctx.db as unknown as NodeDatabase, id: ctx.nodeId, region: "ord" });
    nodes.onFirstNode((id) => claimRows(ctx.db, id));
    await nodes.register();
  }
  for (const table of ["layers", "volumes", "disk_leases"] as const) {
    const rows = await one.ctx.db.selectFrom(table).select("node_id").execute();
    assert.ok(rows.length > 0 && rows.every(({ node_id }) => node_id === "n1"), table);
  }
  await releaseDisks(one.ctx, "sbx_one");
  assert.equal((await listVolumes(two.ctx.db, { orgId: two.org, limit: 1 }))[0]?.volume.id, volume.id);
});
