/** What an operator does to volumes from a terminal, also while the server runs. */
import type { LayerStore } from "@caisson/protocol";
import type { Logger } from "pino";
import { openDatabase } from "../store/open.ts";
import { auditVolumes, type AuditReport } from "./audit.ts";
import { restoreVolume } from "./delete.ts";

export interface OperatorOptions {
  readonly home: string;
  readonly databaseUrl?: string | undefined;
  readonly layers: LayerStore;
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
  /** Compares store and images. Changes nothing. */
  check(): Promise<AuditReport>;
  /** Volumes that can still be restored. */
  deleted(): Promise<readonly DeletedVolume[]>;
  /** See `restoreVolume`. @returns the slug that it has now */
  restore(id: string, slug?: string): Promise<string>;
  close(): Promise<void>;
}

export async function openVolumeOperator({ home, databaseUrl, layers, log }: OperatorOptions): Promise<VolumeOperator> {
  const db = await openDatabase({ home, url: databaseUrl, log });
  return {
    check: () => auditVolumes({ db, layers }),
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
