/** Works on volumes without pause until it is killed; prints each operation once it was acknowledged. Argument: the directory. */
import { createVolume } from "../../packages/server/src/volumes/create-volume.ts";
import { deleteSnapshot, deleteVolume } from "../../packages/server/src/volumes/delete.ts";
import { acquireDisks, releaseDisks } from "../../packages/server/src/volumes/leases.ts";
import { takeSnapshot } from "../../packages/server/src/volumes/take-snapshot.ts";
import { openWorkbench } from "./workbench.ts";

export interface Acknowledged {
  /** `deleting` is announced before, all others when they were acknowledged. */
  readonly kind: "volume" | "snapshot" | "deleting" | "deleted";
  readonly slug: string;
  /** Byte that the first MiB behind 50 MB holds. */
  readonly pattern?: number;
}

const [directory = "", prefix = "", known = "[]"] = process.argv.slice(2);
// On a quick host more comes together than an organisation may have by default.
const bench = await openWorkbench({ reclaimAfter: 0, maxCount: 100_000, maxBytes: 1e15 }, { directory });
const say = (operation: Acknowledged) => process.stdout.write(`${JSON.stringify(operation)}\n`);
const volumes = new Map<string, number>();
const snapshots = new Map<string, number>();
for (const { kind, slug, pattern = 0 } of JSON.parse(known) as Acknowledged[])
  (kind === "volume" ? volumes : snapshots).set(slug, pattern);
const pick = (map: ReadonlyMap<string, number>) => [...map.keys()][Math.floor(Math.random() * map.size)];

for (let step = 1; ; step++) {
  const slug = `${prefix}-${step}`;
  const dice = Math.random();
  const volume = pick(volumes);
  const snapshot = pick(snapshots);
  if (volume === undefined || dice < 0.25) {
    const { id } = await createVolume(bench.ctx, bench.org, {
      slug,
      region: "ord",
      capacity: 300e6,
      from: dice < 0.15 ? snapshot : undefined,
    });
    const pattern = 1 + (step % 250);
    // Half of a write is no acknowledged content, so it is written before it is announced.
    await bench.io(id, `write -f -P ${pattern} 50M 1M`);
    volumes.set(slug, pattern);
    say({ kind: "volume", slug, pattern });
  } else if (dice < 0.55) {
    await takeSnapshot(bench.ctx, bench.org, volume, slug);
    snapshots.set(slug, volumes.get(volume)!);
    say({ kind: "snapshot", slug, pattern: volumes.get(volume)! });
  } else if (dice < 0.7) {
    await acquireDisks(bench.ctx, bench.org, `sbx_${slug}`, { volumes: [{ volume, path: "/data" }] });
    await releaseDisks(bench.ctx, `sbx_${slug}`);
  } else if (dice < 0.8 && volumes.size > 2) {
    volumes.delete(volume);
    say({ kind: "deleting", slug: volume });
    await deleteVolume(bench.ctx, bench.org, volume);
    say({ kind: "deleted", slug: volume });
  } else if (dice < 0.9 && snapshot !== undefined && snapshots.size > 2) {
    snapshots.delete(snapshot);
    say({ kind: "deleting", slug: snapshot });
    await deleteSnapshot(bench.ctx, bench.org, snapshot);
    say({ kind: "deleted", slug: snapshot });
  } else {
    await bench.settle();
  }
}
