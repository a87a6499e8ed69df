/** Rows of sandboxes. Times are milliseconds since the epoch, flags 0 or 1. */
import type { Kysely } from "kysely";
import type { OrgTables } from "../orgs/tables.ts";
import type { LabelRow } from "./label-index.ts";
import type { Phase } from "./phases.ts";

export interface SandboxesTable {
  id: string;
  org_id: string;
  phase: Phase;
  /** The node that it runs on. Null: written before there were nodes. */
  node_id: string | null;
  region: string;
  labels: string;
  /** MiB. */
  memory: number;
  /** The most that its own writable layer can take on the node, bytes. 0: its root is a volume. */
  writable_bytes: number;
  /** Ends when its first connection ends. */
  session: number;
  /** JSON array of `allowNet` patterns, null: unrestricted. */
  allow_net: string | null;
  /** JSON (`SandboxNetwork`), null: no exceptions. */
  network: string | null;
  created_at: number;
  stop_at: number | null;
  stopped_at: number | null;
  reason: string | null;
}

export interface SandboxTables {
  sandboxes: SandboxesTable;
  sandbox_labels: LabelRow;
}

export type SandboxDatabase = Kysely<SandboxTables & Pick<OrgTables, "orgs">>;
