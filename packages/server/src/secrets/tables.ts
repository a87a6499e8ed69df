/** Secrets of workloads. Times are milliseconds since the epoch, flags 0 or 1. */
import type { Kysely } from "kysely";

/** Rows live exactly as long as their sandbox. */
export interface SecretsTable {
  sandbox_id: string;
  name: string;
  placeholder: string;
  /** JSON of hosts, and of what else narrows the secret. */
  rules: string;
  /** AES-256-GCM, see `sealing.ts`. */
  sealed: string;
}

export interface SecretTables {
  secrets: SecretsTable;
}

export type SecretDatabase = Kysely<SecretTables>;
