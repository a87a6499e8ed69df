/** The nodes that share this database. Times are milliseconds since the epoch. */
import type { Kysely } from "kysely";

export interface NodesTable {
  id: string;
  region: string;
  /** Of the host, for people. */
  hostname: string;
  registered_at: number;
  /** When its server last said that it runs. */
  seen_at: number;
}

export interface NodeTables {
  nodes: NodesTable;
}

export type NodeDatabase = Kysely<NodeTables>;
