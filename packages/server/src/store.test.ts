import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startPostgres, type TestPostgres } from "@caisson/testing";
import { newId, type EgressEvent } from "@caisson/protocol";
import { pino } from "pino";
import type { Org } from "./kernel/http/context.ts";
import { Accounts } from "./orgs/accounts.ts";
import { Tokens } from "./orgs/tokens.ts";
import { auditId, AuditStore, type AuditQuery } from "./audit/store.ts";
import { openDatabase, type AnyDatabase } from "./kernel/database/open.ts";
import { SandboxStore, type SandboxRow } from "./sandboxes/store.ts";
import { createSealer } from "./kernel/sealing.ts";
import { SecretStore } from "./secrets/store.ts";
import { migrations } from "./slices.ts";
import { addUsage } from "./usage/store.ts";

const log = pino({ level: "silent" });
const limitOf = (sandboxes: number) => ({ sandboxes, writableBytes: 1e12 });

for (const kind of ["SQLite", "PostgreSQL"] as const) {
  describe(`store on ${kind}`, () => {
    let home: string;
    let postgres: TestPostgres | undefined;
    let db: AnyDatabase;
    let org: Org;
    let store: SandboxStore;

    before(async () => {
      home = await mkdtemp(join(tmpdir(), "caisson-store-"));
      postgres = kind === "PostgreSQL" ? await startPostgres() : undefined;
      db = await openDatabase({ home, url: postgres?.url, migrations, log });
      org = await new Tokens(db).createOrg("first");
      store = new SandboxStore(db, { nodeId: "n1", lockRows: postgres !== undefined });
    });

    after(async () => {
      await db.destroy();
      await postgres?.stop();
      await rm(home, { recursive: true });
    });

    const row = (also: Partial<SandboxRow> = {}): SandboxRow => ({
      id: newId("sbx", "ord"),
      org_id: org.id,
      phase: "creating",
      node_id: "n1",
      region: "ord",
      labels: "{}",
      memory: 1280,
      writable_bytes: 0,
      session: 1,
      allow_net: null,
      network: null,
      created_at: Date.now(),
      stop_at: null,
      stopped_at: null,
      reason: null,
      ...also,
    });

    test("a database that is up to date opens again unchanged", async () => {
      const again = await openDatabase({ home, url: postgres?.url, migrations, log });
      assert.equal(
        (await again.selectFrom("orgs").selectAll().where("slug", "=", "first").executeTakeFirstOrThrow()).id,
        org.id,
      );
      await again.destroy();
    });

    test("times beyond 32 bits come back as the numbers they were", async () => {
      const kept = row({ created_at: 1_795_000_000_123, stop_at: 1_795_000_000_456 });
      await store.insert(kept, limitOf(1000));
      assert.deepEqual({ ...(await store.get(kept.id)) }, kept);
    });

    test("a phase changes only as the table of transitions allows, and one of two writers wins", async () => {
      const { id } = row();
      await store.insert(row({ id }), limitOf(1000));
      assert.equal(await store.move(id, "stopped"), false);
      assert.equal(await store.move(id, "running"), true);
      assert.equal(await store.move(id, "running"), false);
      const won = await Promise.all([
        store.move(id, "stopping", { reason: "a" }),
        store.move(id, "stopping", { reason: "b" }),
      ]);
      assert.equal(won.filter(Boolean).length, 1);
      assert.equal(await store.move(id, "stopped"), true);
      assert.equal(await store.setStopAt(id, 5), false);
    });

    test("the limit of an organisation holds against creates at the same time", async () => {
      const tight = await new Tokens(db).createOrg("tight", 3);
      const outcomes = await Promise.allSettled(
        Array.from({ length: 8 }, () => store.insert(row({ org_id: tight.id }), limitOf(3))),
      );
      const refused = outcomes.filter((outcome) => outcome.status === "rejected");
      assert.equal(refused.length, 5);
      assert.ok(refused.every(({ reason }) => (reason as { code: string }).code === "resource_exhausted"));
    });

    test("the disks of an organisation's live sandboxes are bounded together; one that ends or fails gives its part back", async () => {
      const disks = await new Tokens(db).createOrg("disks");
      const limit = { sandboxes: 10, writableBytes: 1000 };
      const sized = (writable_bytes: number) => row({ org_id: disks.id, writable_bytes });
      const first = sized(600);
      await store.insert(first, limit);
      await assert.rejects(store.insert(sized(600), limit), {
        code: "resource_exhausted",
        message: /can take 600 bytes.* 600 more; the limit for all is 1000/,
      });
      await store.insert(sized(400), limit);
      await store.insert(sized(0), limit);
      await store.move(first.id, "stopping");
      await assert.rejects(store.insert(sized(600), limit), { code: "resource_exhausted" });
      await store.move(first.id, "stopped");
      const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => store.insert(sized(300), limit)));
      assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 2);
    });

    test("the overdue are found, and only they", async () => {
      const ids = { past: newId("sbx", "ord"), future: newId("sbx", "ord"), session: newId("sbx", "ord") };
      await store.insert(row({ id: ids.past, stop_at: 1000 }), limitOf(1000));
      await store.insert(row({ id: ids.future, stop_at: 9e12 }), limitOf(1000));
      await store.insert(row({ id: ids.session }), limitOf(1000));
      for (const id of Object.values(ids)) await store.move(id, "running");
      assert.deepEqual(
        (await store.overdue(Date.now())).map(({ id }) => id),
        [ids.past],
      );
    });

    test("lists are newest first, filtered by labels, and page without loss or repetition", async () => {
      const other = await new Tokens(db).createOrg("lists");
      const made: string[] = [];
      for (let index = 0; index < 7; index++) {
        const id = newId("sbx", "ord");
        // Pairs share a time, so that the id must break the tie.
        await store.insert(
          row({
            id,
            org_id: other.id,
            created_at: 1000 + Math.floor(index / 2),
            labels: index % 3 === 0 ? '{"kind":"it\'s"}' : "{}",
          }),
          limitOf(1000),
        );
        made.push(id);
      }
      const paged: string[] = [];
      for (let position: { createdAt: number; id: string } | undefined; ;) {
        const page = await store.list({ orgId: other.id, labels: {}, limit: 3, before: position });
        paged.push(...page.map(({ id }) => id));
        const last = page.at(-1);
        if (last === undefined) break;
        position = { createdAt: last.created_at, id: last.id };
      }
      assert.deepEqual(paged.toSorted(), made.toSorted());
      assert.equal((await store.list({ orgId: other.id, labels: { kind: "it's" }, limit: 100 })).length, 3);
      assert.equal((await store.list({ orgId: org.id, labels: { kind: "it's" }, limit: 100 })).length, 0);
    });

    test("secrets come back whole, are not readable in the database, and open for their own sandbox alone", async () => {
      const sealer = createSealer(randomBytes(32));
      const secrets = new SecretStore(db, sealer);
      const { id } = row();
      await store.insert(row({ id }), limitOf(1000));
      const binding = {
        name: "KEY",
        placeholder: "caisson-secret-key-x",
        value: "hunter2-\u00fc",
        hosts: ["example.com"],
        methods: ["GET"],
      };
      await secrets.insert(id, [binding]);
      assert.deepEqual(await secrets.of(id), [binding]);
      const stored = JSON.stringify(await db.selectFrom("secrets").selectAll().execute());
      assert.ok(!stored.includes("hunter2"));
      const another = row().id;
      await store.insert(row({ id: another }), limitOf(1000));
      await db.updateTable("secrets").set({ sandbox_id: another }).where("sandbox_id", "=", id).execute();
      await assert.rejects(secrets.of(another), { code: "internal", message: new RegExp(`KEY of ${another}`) });
      assert.deepEqual(await secrets.of(id), []);
    });

    test("a secret whose rules were changed in the database does not open", async () => {
      const secrets = new SecretStore(db, createSealer(randomBytes(32)));
      const { id } = row();
      await store.insert(row({ id }), limitOf(1000));
      const binding = {
        name: "KEY",
        placeholder: "caisson-secret-key-y",
        value: "hunter3",
        hosts: ["example.com"],
        methods: ["GET"],
        pathPrefixes: ["/v1/"],
      };
      await secrets.insert(id, [binding, { ...binding, name: "OTHER", placeholder: "caisson-secret-key-z" }]);
      const { rules } = await db
        .selectFrom("secrets")
        .select("rules")
        .where("sandbox_id", "=", id)
        .executeTakeFirstOrThrow();
      const change = async (set: { rules?: string; placeholder?: string; name?: string }): Promise<void> =>
        void (await db
          .updateTable("secrets")
          .set(set)
          .where("sandbox_id", "=", id)
          .where("placeholder", "like", "%-y")
          .execute());
      const written = JSON.parse(rules) as Record<string, unknown>;
      for (const changed of [
        { ...written, hosts: ["example.com", "evil.example"] },
        { ...written, methods: undefined },
        { ...written, pathPrefixes: ["/"] },
        { ...written, inBody: true },
        null,
      ]) {
        await change({ rules: JSON.stringify(changed) });
        await assert.rejects(secrets.of(id), { code: "internal", message: /The secret KEY of sbx/ });
      }
      await change({ rules: "{" });
      await assert.rejects(secrets.of(id), { code: "internal", message: /cannot be read/ });
      await change({ rules, placeholder: "caisson-secret-key-x-y" });
      await assert.rejects(secrets.of(id), { code: "internal" });
      // The order in which they stand changes nothing.
      const turned = Object.fromEntries(Object.entries(written).toReversed());
      await change({ rules: JSON.stringify(turned), placeholder: "caisson-secret-key-y" });
      assert.deepEqual((await secrets.of(id))[0], binding);
      await secrets.remove(id);
      assert.deepEqual(await secrets.of(id), []);
    });

    test("tokens are kept as hashes; wrong, revoked and foreign ones are refused", async () => {
      const tokens = new Tokens(db);
      const { token, id } = await new Accounts(db).createToken("first", "test");
      assert.match(token, /^ddo_[0-9A-Za-z]{43}$/);
      assert.ok(!JSON.stringify(await db.selectFrom("tokens").selectAll().execute()).includes(token));
      assert.equal((await tokens.authenticate(`Bearer ${token}`, undefined)).org.id, org.id);
      assert.equal((await tokens.authenticate(`bearer ${token}`, "first")).tokenId, id);
      await assert.rejects(tokens.authenticate(`Bearer ${token}`, "tight"), { code: "forbidden" });
      for (const wrong of [undefined, "", token, `Basic ${token}`, `Bearer ${token}x`]) {
        await assert.rejects(tokens.authenticate(wrong, undefined), { wireCode: "INVALID_TOKEN" });
      }
      assert.deepEqual(await tokens.validTokens([id, "x"]), new Set([id]));
      await new Accounts(db).revokeToken(id);
      assert.deepEqual(await tokens.validTokens([id, "x"]), new Set());
      await assert.rejects(tokens.authenticate(`Bearer ${token}`, undefined), { wireCode: "INVALID_TOKEN" });
    });

    test("the development token is the same on every start", async () => {
      const sealer = createSealer(randomBytes(32));
      const first = await new Tokens(db).development(sealer, 64);
      assert.deepEqual(await new Tokens(db).development(sealer, 64), first);
      assert.equal((await new Tokens(db).authenticate(`Bearer ${first.token}`, first.org)).org.concurrentSandboxes, 64);
    });

    test("audit events keep their order, filter and age out", async () => {
      const audit = new AuditStore(db);
      const event = (at: number, host: string): EgressEvent => ({
        kind: "request",
        at,
        sandboxId: "sbx",
        connection: "1",
        host,
        port: 443,
        protocol: "h2",
        verdict: host === "bad" ? "refused" : "allowed",
        rule: "r",
        bytesOut: 1,
        bytesIn: 2,
        durationMs: 3,
      });
      const entries = [event(1000, "a"), event(1000, "bad"), event(2000, "a"), event(3000, "a")]
        .map((each) => ({
          orgId: org.id,
          entry: { ...each, id: auditId(each.at) },
        }))
        .map((pending) => ({ ...pending, json: JSON.stringify(pending.entry) }));
      await audit.insert(entries);
      // An answer of the database may be lost.
      await audit.insert(entries);
      const find = async (query: Partial<AuditQuery>) =>
        (await audit.find({ orgId: org.id, limit: 10, ...query })).entries;
      const all = await find({});
      assert.deepEqual(all, entries.map(({ entry }) => entry).toReversed());
      assert.equal((await find({ host: "a", since: 2000 })).length, 2);
      assert.equal((await find({ verdict: "refused" })).length, 1);
      assert.deepEqual(await find({ limit: 2, cursor: all[1]!.id }), all.slice(2));
      assert.deepEqual(await find({ orgId: "another" }), []);
      await audit.removeBefore(2000, new AbortController().signal);
      assert.equal((await find({})).length, 2);
    });

    test("usage adds up", async () => {
      const { id } = row();
      await store.insert(row({ id }), limitOf(1000));
      const once = {
        workloadId: id,
        orgId: org.id,
        cpuMicros: 1.4,
        memoryByteSeconds: 5e12,
        diskByteSeconds: 3,
        bytesOut: 4,
        bytesIn: 5,
      };
      await addUsage(db, once);
      await addUsage(db, once);
      const { updated_at: _, ...sum } = await db
        .selectFrom("usage")
        .selectAll()
        .where("sandbox_id", "=", id)
        .executeTakeFirstOrThrow();
      assert.deepEqual(sum, {
        sandbox_id: id,
        org_id: org.id,
        cpu_micros: 2,
        memory_byte_seconds: 1e13,
        disk_byte_seconds: 6,
        bytes_out: 8,
        bytes_in: 10,
      });
    });
  });
}
