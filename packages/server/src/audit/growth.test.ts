/** The audit under floods: what sandboxes try, what readers do not read, and a database that refuses. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import type { EgressEvent } from "@caisson/protocol";
import { longestPause, startPostgres, type TestPostgres } from "@caisson/testing";
import { Hono } from "hono";
import { sql } from "kysely";
import { pino } from "pino";
import { openDatabase, type AnyDatabase } from "../kernel/database/open.ts";
import { migrations } from "../slices.ts";
import { LiveStreams } from "./live-streams.ts";
import { AuditLog } from "./log.ts";
import { AuditStore } from "./store.ts";

const log = pino({ level: "silent" });
const signal = new AbortController().signal;
const event = (also: Partial<EgressEvent> = {}): EgressEvent => ({
  kind: "connection",
  at: Date.now(),
  sandboxId: "sbx",
  connection: "1",
  host: "bad.example",
  port: 443,
  protocol: "tls",
  verdict: "refused",
  rule: "host-not-allowed",
  bytesOut: 1,
  bytesIn: 2,
  durationMs: 3,
  ...also,
});

for (const kind of ["SQLite", "PostgreSQL"] as const) {
  describe(`audit on ${kind}`, () => {
    let home: string;
    let postgres: TestPostgres | undefined;
    let db: AnyDatabase;
    let store: AuditStore;

    before(async () => {
      home = await mkdtemp(join(tmpdir(), "caisson-audit-"));
      postgres = kind === "PostgreSQL" ? await startPostgres() : undefined;
      db = await openDatabase({ home, url: postgres?.url, migrations, log });
      store = new AuditStore(db);
    });
    after(async () => {
      await db.destroy();
      await postgres?.stop();
      await rm(home, { recursive: true });
    });

    const all = async (orgId: string) => (await store.find({ orgId, limit: 1000 })).entries;

    test("a flood of refused connections is recorded up to the limit; one event counts the rest, and hides nothing else", async () => {
      const audit = new AuditLog({ store, log, perMinute: 5 });
      for (let index = 0; index < 18_000; index++) audit.record("flood", event({ host: `h${index % 12}.example` }));
      audit.record("flood", event({ verdict: "allowed", host: "good.example" }));
      audit.record("flood", event({ sandboxId: "other" }));
      for (let index = 0; index < 7; index++) audit.record("one", event({ sandboxId: "third" }));
      for (let index = 0; index < 1000; index++)
        audit.record("many", event({ sandboxId: "fourth", host: `${index}.example` }));
      audit.summarise();
      await audit.flush();
      assert.equal((await all("flood")).length, 7);
      audit.summarise({ all: true });
      await audit.flush();
      const flood = await all("flood");
      assert.equal(flood.length, 8);
      const summary = flood.filter(({ kind }) => kind === "summary");
      assert.equal(summary.length, 1);
      assert.equal(
        summary[0]?.detail,
        "17995 refused connections and requests to 12 hosts were not recorded one by one.",
      );
      assert.deepEqual(
        [summary[0]?.verdict, summary[0]?.sandboxId, summary[0]?.bytesOut, summary[0]?.bytesIn],
        ["refused", "sbx", 17_995, 2 * 17_995],
      );
      assert.ok(flood.some(({ host }) => host === "good.example"));
      const details = async (org: string) =>
        (await all(org)).flatMap(({ kind, detail }) => (kind === "summary" ? detail : []));
      assert.deepEqual(await details("one"), [
        "2 refused connections and requests to the host bad.example were not recorded one by one.",
      ]);
      assert.match(String(await details("many")), /^995 .* to more than 256 hosts/);
    });

    test("what the database refuses is written later, once, and what does not fit in memory is counted", async () => {
      const audit = new AuditLog({ store, log, perMinute: 1e6 });
      const rename = (from: string, to: string) => db.schema.alterTable(from).renameTo(to).execute();
      for (let index = 0; index < 700; index++) audit.record("late", event({ port: index }));
      await rename("audit_events", "audit_away");
      try {
        await assert.rejects(audit.flush());
        // Two at a time, as a list and the background work do.
        await Promise.all([assert.rejects(audit.flush()), assert.rejects(audit.flush())]);
        for (let index = 0; index < 20_000; index++) audit.record("full", event({ sandboxId: "full" }));
      } finally {
        await rename("audit_away", "audit_events");
      }
      audit.summarise({ all: true });
      await Promise.all([audit.flush(), audit.flush()]);
      const late = await all("late");
      assert.deepEqual(
        late.map(({ port }) => port),
        Array.from({ length: 700 }, (_, index) => 699 - index),
      );
      const newest = (await all("full")).find(({ kind }) => kind === "summary");
      assert.match(newest?.detail ?? "", /^700 refused/);
    });

    test("an organisation keeps its newest events, up to its limit, and others keep theirs", async () => {
      const audit = new AuditLog({ store, log, perMinute: 1e6 });
      for (let index = 0; index < 2300; index++) audit.record("much", event({ at: 1000 + index }));
      for (let index = 0; index < 20; index++) audit.record("little", event({ at: 1000 + index }));
      await audit.flush();
      await store.removeBeyond(700, [], signal);
      const kept = await all("much");
      assert.equal(kept.length, 700);
      assert.equal(kept.at(-1)?.at, 2600);
      assert.equal((await all("little")).length, 20);
      // After a restart nobody knows who has too many.
      await new AuditStore(db).removeBeyond(100, ["much"], signal);
      assert.equal((await all("much")).length, 100);
      await store.removeBefore(3250, signal);
      assert.equal((await all("much")).length, 50);
      assert.equal((await all("little")).length, 0);
    });

    test("a filter that matches little looks at a bounded number of events for one page, and finds all over several", async (t) => {
      const count = 60_000;
      const id = sql`'0000000' || cast(1000000 + i as text) || '-000000-x'`;
      await sql`insert into audit_events (id, org_id, sandbox_id, at, kind, host, port, verdict, rule, event)
        with recursive n(i) as (select 1 union all select i + 1 from n where i < ${sql.lit(count)})
        select ${id}, 'wide', 'sbx', 1000000 + i, 'connection',
          case when i % 25000 = 0 then 'rare' else 'common' end, 443, 'allowed', 'r', '{"at":' || cast(1000000 + i as text) || '}'
        from n`.execute(db);
      if (postgres !== undefined) await sql`analyze`.execute(db);
      let longest = 0;
      const found: number[] = [];
      let cursor: string | undefined;
      let pages = 0;
      do {
        const started = performance.now();
        const page = await store.find({ orgId: "wide", sandboxId: "sbx", host: "rare", limit: 100, cursor });
        longest = Math.max(longest, performance.now() - started);
        found.push(...page.entries.map(({ at }) => at));
        cursor = page.next;
        pages++;
      } while (cursor !== undefined);
      t.diagnostic(`${pages} pages, the slowest ${longest.toFixed(0)} ms`);
      assert.deepEqual(found, [1_050_000, 1_025_000]);
      assert.equal(pages, 6);
      assert.ok(longest < longestPause);
      const removing = { ms: 0 };
      const started = performance.now();
      const gone = store.removeBefore(1_020_000, signal).finally(() => (removing.ms = performance.now() - started));
      let waited = 0;
      while (removing.ms === 0) {
        const asked = performance.now();
        await all("nobody");
        await sleep(1);
        waited = Math.max(waited, performance.now() - asked);
      }
      await gone;
      t.diagnostic(
        `20,000 events removed in ${removing.ms.toFixed(0)} ms; others waited at most ${waited.toFixed(0)} ms`,
      );
      assert.ok(waited < longestPause);
    });
  });
}

describe("live streams of audit events", () => {
  const open = async (most: number) => {
    const audit = new AuditLog({ store: new AuditStore(undefined as never), log, perMinute: 1e9 });
    const streams = new LiveStreams(audit, most);
    const disconnected: string[] = [];
    const app = new Hono<{ Bindings: HttpBindings }>();
    app.get("/:org", (c) => {
      const orgId = c.req.path;
      const disconnect = () => {
        disconnected.push(orgId);
        c.env.outgoing.destroy();
      };
      try {
        return c.body(streams.open({ orgId, matches: () => true, disconnect }));
      } catch (error) {
        return c.body(null, (error as { status: 429 }).status);
      }
    });
    const serve = getRequestListener(app.fetch);
    const server = createServer((request, response) => void serve(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const read = async (org: string) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(`GET ${org} HTTP/1.1\r\nHost: x\r\n\r\n`);
      const [head] = (await once(socket, "data")) as [Buffer];
      return { socket, status: Number(head.toString("latin1").slice(9, 12)) };
    };
    return { audit, disconnected, read, close: () => (server.closeAllConnections(), server.close()) };
  };

  test("a reader that stalls is disconnected at once, nothing waits for it any more, and others read on", async (t) => {
    const { audit, disconnected, read, close } = await open(8);
    try {
      const stalled = await read("/a");
      stalled.socket.pause();
      const good = await read("/a");
      const received = { bytes: 0 };
      good.socket.on("data", (chunk: Buffer) => (received.bytes += chunk.length));
      let sent = 0;
      const detail = "x".repeat(1000);
      for (; disconnected.length === 0 && sent < 100_000; sent++) {
        audit.record("/a", event({ detail }));
        // The other one reads in between.
        if (sent % 100 === 0) await sleep(1);
      }
      t.diagnostic(`disconnected after ${sent} events of about 1.3 KB`);
      // What the kernel holds for the connection is some MiB.
      assert.ok(disconnected.length === 1 && sent < 30_000, `${disconnected.length} disconnected after ${sent} events`);
      await once(stalled.socket.resume(), "close");
      // Nothing is kept for it any more: it would have to be disconnected again.
      for (let index = 0; index < 3000; index++) {
        audit.record("/a", event({ detail }));
        if (index % 100 === 0) await sleep(1);
      }
      assert.equal(disconnected.length, 1);
      for (let waited = 0; received.bytes < 1000 * (sent + 3000) && waited < 2000; waited += 10) await sleep(10);
      assert.ok(received.bytes > 1000 * (sent + 3000), "the other reader did not get everything");
      good.socket.destroy();
    } finally {
      close();
    }
  });

  test("streams of one organisation are bounded, those of others are not touched, and one that ends makes space", async () => {
    const { read, close } = await open(2);
    try {
      const first = await read("/a");
      const second = await read("/a");
      assert.deepEqual([first.status, second.status, (await read("/a")).status], [200, 200, 429]);
      assert.equal((await read("/b")).status, 200);
      first.socket.destroy();
      let status = 429;
      for (let waited = 0; status === 429 && waited < 2000; waited += 20) {
        await sleep(20);
        ({ status } = await read("/a"));
      }
      assert.equal(status, 200);
    } finally {
      close();
    }
  });
});
