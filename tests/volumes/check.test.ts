/** The check of database and images finds every kind of disagreement, and none when they agree. */
import assert from "node:assert/strict";
import { chmod, copyFile, rm } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { checkVolumes } from "../../packages/server/src/volumes/check.ts";
import { createVolume } from "../../packages/server/src/volumes/create-volume.ts";
import { acquireDisks } from "../../packages/server/src/volumes/leases.ts";
import { recoverVolumes } from "../../packages/server/src/volumes/recover.ts";
import { takeSnapshot } from "../../packages/server/src/volumes/take-snapshot.ts";
import { openWorkbench, type Workbench } from "./workbench.ts";

let bench: Workbench;
let volume: string;
let layer: string;
let head: string;
beforeEach(async () => {
  bench = await openWorkbench();
  volume = (await createVolume(bench.ctx, bench.org, { slug: "data", region: "ord", capacity: 300e6 })).id;
  layer = (await takeSnapshot(bench.ctx, bench.org, volume, "snap")).layer;
  await bench.settle();
  ({ head } = await bench.ctx.db
    .selectFrom("volumes")
    .select("head")
    .where("id", "=", volume)
    .executeTakeFirstOrThrow());
  await bench.assertSound();
});
afterEach(() => bench.close());

const path = (id: string) => join(bench.directory, "volumes", "layers", `${id}.qcow2`);

async function problems(): Promise<string> {
  const { faults } = await checkVolumes(bench.ctx, { running: (id) => bench.machines.has(id) });
  return faults.map(({ subject, problem }) => `${subject}: ${problem}`).join("\n");
}

test("an image that is missing, unknown, over another parent, or writable", async () => {
  await copyFile(path(head), path("stray"));
  assert.match(await problems(), /^stray: its image belongs to no layer in the database/m);
  await rm(path("stray"));
  await chmod(path(layer), 0o600);
  assert.match(await problems(), new RegExp(`^${layer}: its image is writable`, "m"));
  await chmod(path(layer), 0o444);
  execFileSync("qemu-img", ["rebase", "-u", "-f", "qcow2", "-b", "", path(head)]);
  assert.match(
    await problems(),
    new RegExp(`^${head}: the parent of its image is none, but in the database it is ${layer}`, "m"),
  );
  await rm(path(head));
  assert.match(await problems(), new RegExp(`^${head}: its image is missing`, "m"));
});

test("a sealed image that changed, and its restore from the copy at rest", async () => {
  await chmod(path(layer), 0o600);
  // The copy is a link to the same file here; on another disk it would not be.
  await copyFile(path(layer), `${path(layer)}.other`);
  await rm(path(layer));
  execFileSync("mv", [`${path(layer)}.other`, path(layer)]);
  execFileSync("qemu-io", ["-c", "write -P 9 100M 4k", path(layer)]);
  await chmod(path(layer), 0o444);
  assert.match(await problems(), /not those that were sealed/);
  await rm(path(layer), { force: true });
  await recoverVolumes(bench.ctx);
  await bench.assertSound();
});

test("rows that disagree with each other", async () => {
  const { db } = bench.ctx;
  await db.deleteFrom("volume_slugs").where("owner", "=", volume).execute();
  await db.insertInto("volume_slugs").values({ org_id: bench.org, slug: "ghost", owner: "nobody" }).execute();
  await db.updateTable("volumes").set({ attached_to: "sbx_gone" }).where("id", "=", volume).execute();
  const found = await problems();
  assert.match(found, /its slug data is not registered/);
  assert.match(found, /nobody: the slug ghost is registered for a volume or snapshot that does not exist/);
  assert.match(found, /attached to sbx_gone, but its lease is held by none/);
  assert.match(found, /attached to sbx_gone, which does not run/);
});

test("a lease of a sandbox that has ended is released at the next start", async () => {
  await acquireDisks(bench.ctx, bench.org, "sbx_gone", { volumes: [{ volume: "data", path: "/data" }] });
  assert.match(await problems(), /attached to sbx_gone/);
  const { released } = await recoverVolumes(bench.ctx);
  assert.deepEqual(released, ["sbx_gone"]);
  await bench.assertSound();
});
