/** Names of exposed ports. Times are milliseconds since the epoch, flags 0 or 1. */
import type { Kysely } from "kysely";

/** Names of exposed ports; rows live as long as their sandbox. Neither port nor pid: reserved. */
export interface PreviewsTable {
  /** DNS label, unique for ever. */
  label: string;
  sandbox_id: string;
  port: number | null;
  pid: number | null;
}

export interface PreviewTables {
  previews: PreviewsTable;
}

export type PreviewDatabase = Kysely<PreviewTables>;
