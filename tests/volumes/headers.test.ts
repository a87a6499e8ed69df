/** A taken-over monitor that rewrites the headers of its images gets no byte of the host into a layer. */
import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createVolume } from "../../packages/server/src/volumes/create-volume.ts";
import { deleteSnapshot } from "../../packages/server/src/volumes/delete.ts";
import { acquireDisks, releaseDisks } from "../../packages/server/src/volumes/leases.ts";
import { takeSnapshot } from "../../packages/server/src/volumes/take-snapshot.ts";
import { createCanary, HeaderAttacker, hasCanary } from "./header-attack.ts";
import { attackTools } from "./header-rounds.ts";
import { openWorkbench } from "./workbench.ts";

test("headers that change while the disk tools work: 6 moments", { timeout: 60_000 }, () => attackTools(6));

test(
  "layers that a running machine could write are neither merged nor copied to rest",
  { timeout: 60_000 },
  async () => {
    const bench = await openWorkbench();
    const outside = await mkdtemp(join(tmpdir(), "caisson-headers-"));
    try {
      const { ctx, org } = bench;
      const volume = await createVolume(ctx, org, { slug: "data", region: "ord", capacity: 32e6 });
      await bench.io(volume.id, "write -P 1 8M 1M");
      await acquireDisks(ctx, org, "sbx_1", { volumes: [{ volume: "data", path: "/data" }] });
      let written = volume.head;
      bench.machines.set("sbx_1", {
        overlayDisk: async (_serial, overlay) => void (written = overlay),
        diskLayers: async () => ({ [volume.id.slice(-20)]: written }),
      });
      const first = await takeSnapshot(ctx, org, "data", "first");
      const second = await takeSnapshot(ctx, org, "data", "second");
      const image = (layer: string) => join(bench.directory, "volumes", "layers", `${layer}.qcow2`);
      const attacker = await HeaderAttacker.start(image(second.layer), await createCanary(outside), outside);
      await deleteSnapshot(ctx, org, "first");
      // The moment that works against tools that follow headers: when the headers have just been checked.
      await attacker.attack({ lure: "path", closes: 2, delay: 0, hold: 400_000 }, () => bench.settle());
      await bench.settle();
      assert.deepEqual(await ctx.layers.chain(written), [written, second.layer, first.layer], "nothing moved");
      const archived = await ctx.layers.archived();
      assert.deepEqual(archived, [], "nothing was copied");
      await attacker.end();
      bench.machines.clear();
      await releaseDisks(ctx, "sbx_1");
      await bench.settle();
      assert.deepEqual(await ctx.layers.chain(written), [written, second.layer], "merged once the machine has ended");
      assert.equal(hasCanary(image(second.layer)), false);
      bench.read(second.layer, "read -P 1 8M 1M");
      await bench.assertSound();
    } finally {
      await bench.close();
      await rm(outside, { recursive: true });
    }
  },
);
