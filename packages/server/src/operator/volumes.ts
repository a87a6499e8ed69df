/** What an operator does to volumes from a terminal, also while the server runs. */
import type { NodeId, NodeLayers } from "@caisson/protocol";
import type { Logger } from "pino";
import { openDatabase } from "../kernel/database/open.ts";
import { findDamaged, type Damaged } from "../layers/damage.ts";
import type { VolumeDatabase } from "../layers/tables.ts";
import { migrations } from "../slices.ts";
import { checkVolumes, type CheckReport } from "../volumes/check.ts";
import { restoreVolume } from "../volumes/delete.ts";
import { drop, markContent, repair, type Repair } from "../volumes/repair.ts";

export interface OperatorOptions {
  readonly home: string;
  readonly databaseUrl?: string | undefined;
  /** The node whose images are looked at. */
  readonly nodeId: NodeId;
  readonly layers: NodeLayers;
  readonly log: Logger;
}

export interface DeletedVolume {
  readonly id: string;
  readonly slug: string;
  readonly org: string;
  /** Bytes. */
  readonly capacity: number;
  readonly deletedAt: Date;
  readonly reclaimAt: Date;
}

export interface VolumeOperator {
  /** Compares store and images. Marks images whose content is damaged; changes nothing else. */
  check(): Promise<CheckReport>;
  /** What is marked as damaged, and what is refused because of it. */
  damaged(): Promise<Damaged>;
  /** See `repair`. */
  repair(id: string): Promise<readonly Repair[]>;
  /** See `drop`. */
  drop(id: string): Promise<void>;
  /** Volumes that can still be restored. */
  deleted(): Promise<readonly DeletedVolume[]>;
  /** See `restoreVolume`. @returns the slug that it has now */
  restore(id: string, slug?: string): Promise<string>;
  close(): Promise<void>;
}

export async function openVolumeOperator({
  home,
  databaseUrl,
  nodeId,
  layers,
  log,
}: OperatorOptions): Promise<VolumeOperator> {
  const db: VolumeDatabase = await openDatabase({ home, url: databaseUrl, migrations, log });
  const ctx = { db, nodeId, layers, log };
  return {
    async check() {
      const report = await checkVolumes({ db, layers, nodeId });
      for (const { subject, problem } of report.content) await markContent(ctx, subject, problem);
      return report;
    },
    damaged: () => findDamaged(ctx),
    repair: (id) => repair(ctx, id),
    drop: (id) => drop(ctx, id),
    async deleted() {
      const rows = await db
        .selectFrom("volumes")
        .innerJoin("orgs", "orgs.id", "volumes.org_id")
        .selectAll("volumes")
        .select("orgs.slug as org")
        .where("state", "=", "deleted")
        .execute();
      return rows.map(({ id, slug, org, capacity, deleted_at, reclaim_at }) => ({
        id,
        slug,
        org,
        capacity,
        deletedAt: new Date(deleted_at ?? 0),
        reclaimAt: new Date(reclaim_at ?? 0),
      }));
    },
    restore: async (id, slug) => (await restoreVolume({ db, log }, id, slug)).slug,
    close: () => db.destroy(),
  };
}
