/** Names of exposed ports. */
import type { Kysely } from "kysely";

/** Rows are removed with their sandbox. Neither port nor pid: reserved. */
export interface PreviewsTable {
  /** DNS label, unique for ever. */
  label: string;
  sandbox_id: string;
  port: number | null;
  pid: number | null;
  /** Null: whoever knows the name may visit. Else a random text; links are signed for it, so another one revokes them. */
  access: string | null;
}

/** Names of sandboxes that have ended, so that visitors learn that. Removed after a while. */
export interface EndedPreviewsTable {
  label: string;
  /** Milliseconds since the epoch. */
  ended_at: number;
}

export interface PreviewVisitsTable {
  /** Sorts by time. */
  id: string;
  org_id: string;
  workload_id: string;
  /** As JSON. */
  visit: string;
}

export interface PreviewTables {
  previews: PreviewsTable;
  ended_previews: EndedPreviewsTable;
  preview_visits: PreviewVisitsTable;
}

export type PreviewDatabase = Kysely<PreviewTables>;
