/** A server with many rows: lists, filters, retention and health stay quick, on a real SQLite and a real PostgreSQL. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { configSchema } from "@caisson/protocol";
import { HostNode, startPostgres, type TestPostgres } from "@caisson/testing";
import { sql } from "kysely";
import { pino } from "pino";
import { createServer, type CaissonServer } from "./index.ts";
import { openDatabase, type AnyDatabase } from "./kernel/database/open.ts";
import { filterKey } from "./kernel/labels/filter-keys.ts";
import { removeEnded } from "./sandboxes/retention.ts";
import { SandboxStore } from "./sandboxes/store.ts";
import { migrations } from "./slices.ts";

const log = pino({ level: "silent" });
const config = configSchema.parse({ limits: { endedSandboxes: 1_000_000 }, sandbox: { retentionDays: 10_000 } });
/** The longest that anything may wait, milliseconds. */
const quick = 1000;
const many = { SQLite: 200_000, PostgreSQL: 100_000 };

for (const kind of ["SQLite", "PostgreSQL"] as const) {
  describe(`many rows on ${kind}`, () => {
    let home: string;
    let postgres: TestPostgres | undefined;
    let node: HostNode;
    let server: CaissonServer;
    let url: string;
    /** A second connection, as an operator or another server has one. */
    let db: AnyDatabase;

    before(async () => {
      home = await mkdtemp(join(tmpdir(), "caisson-growth-"));
      postgres = kind === "PostgreSQL" ? await startPostgres() : undefined;
      // No machine is started here, so no agent is needed.
      node = new HostNode("no-agent", new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "blobs"))));
      server = await createServer({ home, key: randomBytes(32), config, node, databaseUrl: postgres?.url, log });
      ({ url } = await server.start({ host: "127.0.0.1", port: 0 }));
      db = await openDatabase({ home, url: postgres?.url, migrations, log });
    });

    after(async () => {
      await db.destroy();
      await server.close("end");
      await node.close();
      await postgres?.stop();
      await rm(home, { recursive: true });
    });

    async function timed<T>(work: () => Promise<T>): Promise<{ result: T; ms: number }> {
      const started = performance.now();
      const result = await work();
      return { result, ms: performance.now() - started };
    }

    const rest = async (path: string) => {
      const answer = await fetch(`${url}${path}`, {
        headers: { authorization: `Bearer ${server.development.token}` },
      });
      return { ids: ((await answer.json()) as { id: string }[]).map(({ id }) => id), next: answer.headers.get("link") };
    };

    /** Ended sandboxes with ids `prefix` 1 to `count`: those with an even number have the label a, the others c. */
    async function fill(orgId: string, prefix: string, count: number): Promise<void> {
      const id = sql`${prefix} || cast(1000000 + i as text)`;
      const numbers = sql`with recursive n(i) as (select 1 union all select i + 1 from n where i < ${sql.lit(count)})`;
      await sql`insert into sandboxes
        (id, org_id, phase, node_id, region, labels, memory, session, created_at, stopped_at, reason)
        ${numbers} select ${id}, ${orgId}, 'stopped', 'gone', 'ord',
          case i % 2 when 0 then '{"a":"b"}' else '{"c":"d"}' end, 1280, 1, 1000 + i, 2000 + i, 'killed' from n`.execute(
        db,
      );
      await sql`insert into sandbox_labels (org_id, filter, created_at, sandbox_id)
        ${numbers} select ${orgId},
          case i % 2 when 0 then ${filterKey({ a: "b" })} else ${filterKey({ c: "d" })} end, 1000 + i, ${id} from n`.execute(
        db,
      );
      // PostgreSQL does this by itself within a minute after so many inserts.
      if (postgres !== undefined) await sql`analyze`.execute(db);
    }

    test("retention removes the oldest ended sandboxes with all that is theirs, and keeps the sums of their use", async (t) => {
      const orgId = "org-retention";
      const org = { id: orgId, slug: orgId, created_at: 1, concurrent_sandboxes: null };
      await db.insertInto("orgs").values(org).execute();
      await fill(orgId, "sbx_ord_kept_", 3000);
      const mine = (table: string, column = "org_id") =>
        db
          .selectFrom(table)
          .select((eb) => eb.fn.countAll().as("count"))
          .where(column, "=", orgId)
          .executeTakeFirstOrThrow()
          .then(({ count }) => Number(count));
      const december = Date.UTC(2026, 11, 5);
      await sql`insert into usage
        (sandbox_id, org_id, cpu_micros, memory_byte_seconds, disk_byte_seconds, bytes_out, bytes_in, updated_at)
        select id, org_id, 1, 1048576, 2097152, 4, 5, ${sql.lit(december)} from sandboxes where org_id = ${orgId}`.execute(
        db,
      );
      await db
        .updateTable("sandboxes")
        .set({ phase: "running", stopped_at: null })
        .where("id", "=", "sbx_ord_kept_1000001")
        .execute();
      const retention = { lockRows: postgres !== undefined, endedBefore: 0, most: 1_000_000 };
      const signal = new AbortController().signal;
      assert.equal(await removeEnded(db, retention, signal), 0);
      // Two servers at the same time.
      const removing = Promise.all([
        removeEnded(db, { ...retention, most: 1000, endedBefore: 2101 }, signal),
        removeEnded(db, { ...retention, endedBefore: 2101 }, signal),
      ]);
      const running = { ended: false };
      const finished = removing.finally(() => (running.ended = true));
      let longest = 0;
      while (!running.ended) longest = Math.max(longest, (await timed(() => rest("/api/v3/sandboxes?limit=1"))).ms);
      t.diagnostic(`longest list beside retention: ${longest.toFixed(0)} ms`);
      assert.ok(longest < quick, `a list beside retention took ${longest} ms`);
      const removed = (await finished).reduce((sum, count) => sum + count, 0);
      const expected = 1999;
      assert.equal(removed, expected);
      assert.equal(await mine("sandboxes"), 1001);
      assert.equal(await mine("sandbox_labels"), 1001);
      assert.equal(await mine("usage"), 1001);
      const [month, ...others] = await db.selectFrom("usage_months").selectAll().where("org_id", "=", orgId).execute();
      assert.deepEqual(others, []);
      assert.deepEqual(
        { ...month },
        {
          org_id: orgId,
          month: "2026-12",
          workloads: expected,
          cpu_micros: expected,
          memory_mib_seconds: expected,
          disk_mib_seconds: 2 * expected,
          bytes_out: 4 * expected,
          bytes_in: 5 * expected,
        },
      );
    });

    test("a label filter over very many ended sandboxes is quick, and so is everything beside it", async (t) => {
      const { id: orgId } = await db
        .selectFrom("orgs")
        .select("id")
        .where("slug", "=", "development")
        .executeTakeFirstOrThrow();
      await fill(orgId, "sbx_ord_0000000000000", many[kind]);
      const paths = [
        "/api/v3/sandboxes?labels[a]=b",
        "/api/v3/sandboxes?labels[a]=nothing",
        // Two frequent labels that no sandbox has both of.
        "/api/v3/sandboxes?labels[a]=b&labels[c]=d",
        "/api/v3/sandboxes",
        // The last page.
        `/api/v3/sandboxes?labels[a]=b&cursor=${Buffer.from("1010 sbx_ord_00000000000001000010").toString("base64url")}`,
        `/api/v3/sandboxes?cursor=${Buffer.from("1010 sbx_ord_00000000000001000010").toString("base64url")}`,
      ];
      const counts: number[] = [];
      for (const path of paths) {
        const listing = timed(() => rest(path));
        const beside = await timed(() => fetch(`${url}/healthz`).then((answer) => answer.json()));
        const { result, ms } = await listing;
        counts.push(result.ids.length);
        t.diagnostic(`${path}: ${ms.toFixed(0)} ms, healthz beside it ${beside.ms.toFixed(0)} ms`);
        assert.ok(ms < quick, `${path} took ${ms} ms`);
        assert.ok(beside.ms < quick, `healthz beside ${path} took ${beside.ms} ms`);
      }
      assert.deepEqual(counts, [1000, 0, 0, 1000, 4, 9]);
      const store = new SandboxStore(db, { nodeId: "n1", lockRows: postgres !== undefined });
      const row = await store.get("sbx_ord_00000000000001000001");
      const created = await timed(() =>
        store.insert({ ...row!, id: "sbx_ord_new", phase: "creating" }, { sandboxes: 1, writableBytes: 1 }),
      );
      t.diagnostic(`a create beside them: ${created.ms.toFixed(0)} ms`);
      assert.ok(created.ms < quick, `a create took ${created.ms} ms`);
    });
  });
}
