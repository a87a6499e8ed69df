/** The tables of a home, read beside the running server. Only columns that something is judged by. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

export interface StoreRows {
  readonly sandboxes: readonly {
    id: string;
    phase: string;
    session: number;
    label: string | null;
    reason: string | null;
  }[];
  readonly volumes: readonly {
    id: string;
    slug: string;
    state: string;
    head: string;
    capacity: number;
    attached_to: string | null;
  }[];
  readonly snapshots: readonly { id: string; slug: string; state: string; layer: string }[];
  readonly slugs: readonly { slug: string; owner: string }[];
  readonly layers: readonly {
    id: string;
    parent: string | null;
    state: string;
    kind: string;
    checksum: string | null;
  }[];
  readonly leases: readonly { sandbox: string; layer: string; volume: string | null }[];
  readonly previews: readonly { label: string; sandbox_id: string }[];
  readonly secrets: readonly { sandbox_id: string; name: string }[];
}

export function databasePath(home: string): string {
  return join(home, "caisson.db");
}

/** All in one transaction, so that the rows belong together. Only the sandboxes that have not ended, and those of `labels`. */
export function readStore(home: string): StoreRows {
  const database = new DatabaseSync(databasePath(home), { readOnly: true, timeout: 5000 });
  try {
    // eslint-disable-next-line typescript/no-unnecessary-type-parameters -- the columns are named in the query
    const all = <T>(sql: string) =>
      database
        .prepare(sql)
        .all()
        .map((row) => ({ ...row })) as T;
    database.exec("BEGIN");
    return {
      sandboxes: all(
        "SELECT id, phase, session, json_extract(labels, '$.chaos') AS label, reason FROM sandboxes ORDER BY created_at DESC LIMIT 5000",
      ),
      volumes: all("SELECT id, slug, state, head, capacity, attached_to FROM volumes"),
      snapshots: all("SELECT id, slug, state, layer FROM snapshots"),
      slugs: all("SELECT slug, owner FROM volume_slugs"),
      layers: all("SELECT id, parent, state, kind, checksum FROM layers"),
      leases: all("SELECT sandbox, layer, volume FROM disk_leases"),
      previews: all("SELECT label, sandbox_id FROM previews"),
      secrets: all("SELECT sandbox_id, name FROM secrets"),
    };
  } finally {
    database.close();
  }
}
