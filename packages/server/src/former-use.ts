/** What servers before this one left in a database: which nodes it has, and whether it has rows that only a certain key can read. */
import type { NodeId } from "@caisson/protocol";
import type { Logger } from "pino";
import { openDatabase } from "./kernel/database/open.ts";
import type { NodeDatabase } from "./nodes/tables.ts";
import type { OrgDatabase } from "./orgs/tables.ts";
import { migrations } from "./slices.ts";

export interface FormerUse {
  readonly nodes: readonly NodeId[];
  /** Some rows were encrypted with the key of a node. */
  readonly sealed: boolean;
}

/** @throws CaissonError `unavailable` when the database cannot be opened */
export async function formerUse(options: {
  readonly home: string;
  readonly databaseUrl?: string | undefined;
  readonly log: Logger;
}): Promise<FormerUse> {
  const { home, databaseUrl, log } = options;
  const db = await openDatabase({ home, url: databaseUrl, migrations, log });
  try {
    const nodes = await (db as NodeDatabase).selectFrom("nodes").select("id").execute();
    const token = await (db as OrgDatabase)
      .selectFrom("tokens")
      .select("id")
      .where("sealed", "is not", null)
      .executeTakeFirst();
    return { nodes: nodes.map(({ id }) => id), sealed: token !== undefined };
  } finally {
    await db.destroy();
  }
}
