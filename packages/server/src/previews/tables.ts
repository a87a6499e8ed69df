/** Names of exposed ports. */
import type { Kysely } from "kysely";

/** Rows are removed with their sandbox. Neither port nor pid: reserved. */
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
