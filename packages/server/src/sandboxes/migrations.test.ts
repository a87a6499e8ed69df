import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pino } from "pino";
import { openDatabase } from "../kernel/database/open.ts";
import { migrations } from "../slices.ts";
import { SandboxStore } from "./store.ts";

const log = pino({ level: "silent" });

test("sandboxes of an earlier version are found by their labels after an upgrade, also when one was interrupted", async () => {
  const home = await mkdtemp(join(tmpdir(), "caisson-migration-"));
  const { "2026-12-02-sandbox-bounds": bounds, ...former } = migrations;
  try {
    const before = await openDatabase({ home, migrations: former, log });
    await before.insertInto("orgs").values({ id: "o", slug: "o", created_at: 1 }).execute();
    const row = { org_id: "o", phase: "stopped", node_id: "n1", region: "ord", memory: 1, session: 0, stopped_at: 5 };
    const rows = Array.from({ length: 700 }, (_, index) => ({
      ...row,
      id: `sbx_ord_${1000 + index}`,
      created_at: index,
      labels: index % 100 === 0 ? '{"a":"1","b":"2"}' : "{}",
    }));
    await before.insertInto("sandboxes").values(rows).execute();
    // Killed before the last statement: everything is done again.
    await bounds!.up(before);
    await before.schema.alterTable("sandboxes").dropColumn("writable_bytes").execute();
    await before.destroy();
    const after = await openDatabase({ home, migrations, log });
    const store = new SandboxStore(after, { nodeId: "n1", lockRows: false });
    for (const labels of [{ a: "1" }, { b: "2" }, { b: "2", a: "1" }])
      assert.equal((await store.list({ orgId: "o", labels, limit: 100 })).length, 7);
    assert.deepEqual(await store.list({ orgId: "o", labels: { a: "2" }, limit: 100 }), []);
    await after.destroy();
  } finally {
    await rm(home, { recursive: true });
  }
});
