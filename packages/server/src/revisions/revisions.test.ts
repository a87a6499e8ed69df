import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { RevisionProgress } from "@caisson/api";
import { appsSlice } from "../apps/index.ts";
import { openSlices, type TestSlices } from "../testing/slices.ts";
import { revisionsService, revisionsSlice, type NewRevision, type RevisionsService } from "./index.ts";
import { branchTimeline, keyOf, nameOf, previewOf, production, timelinesFor } from "./timelines.ts";

for (const database of ["SQLite", "PostgreSQL"] as const) {
  describe(`revisions on ${database}`, () => {
    let opened: TestSlices;
    let revisions: RevisionsService;
    let app: { id: string; org_id: string };

    before(async () => {
      opened = await openSlices({
        database,
        slices: [appsSlice, revisionsSlice],
        config: { apps: { buildLogBytes: 2048, logLinesPerMinute: 5 } },
      });
      revisions = opened.services.use(revisionsService);
      app = { id: randomUUID(), org_id: opened.org.id };
      const times = { created_at: 1, updated_at: 1, deleted_at: null };
      await opened.db
        .insertInto("apps")
        .values({ ...app, slug: "one", labels: "{}", config: "{}", ...times })
        .execute();
    });
    after(() => opened.close());

    const create = (also: Partial<NewRevision> = {}) =>
      revisions.create({
        app,
        config: {},
        layers: [],
        env: [],
        labels: {},
        production: true,
        preview: false,
        retention: "auto",
        ...also,
      });
    const progressOf = async (id: string) => JSON.parse((await revisions.get(id))!.progress) as RevisionProgress;

    test("a build goes through its stages and ends once", async () => {
      const { id } = await create();
      assert.match(id, /^[a-z][0-9a-z]{11}$/);
      assert.deepEqual(
        (await revisions.unfinished()).map((row) => row.id),
        [id],
      );
      assert.equal(await revisions.move(id, { from: ["queued"], to: "building" }), true);
      assert.equal(await revisions.move(id, { from: ["queued"], to: "building" }), false);
      await revisions.setStage(id, "preparing", "running");
      await revisions.setStage(id, "preparing", "succeeded");
      await revisions.setStage(id, "installing", "running", "npm ci");
      const { queued, preparing, installing, building } = await progressOf(id);
      assert.deepEqual([queued.status, preparing.status, installing.status], ["succeeded", "succeeded", "running"]);
      assert.equal(installing.command, "npm ci");
      assert.deepEqual(building, { status: "pending", command: null });
      const failure = { to: "failed", reason: "timed_out", message: "npm ci took longer than 300 s" } as const;
      const moves = await Promise.all([
        revisions.move(id, { from: ["queued", "building"], ...failure }),
        revisions.move(id, { from: ["queued", "building"], to: "succeeded" }),
      ]);
      assert.deepEqual(moves, [true, false]);
      const row = (await revisions.get(id))!;
      assert.deepEqual([row.status, row.failure_reason, row.failure_message], ["failed", "timed_out", failure.message]);
      assert.notEqual(row.build_finished_at, null);
      const ended = await progressOf(id);
      assert.deepEqual(
        [ended.installing.status, ended.building.status, ended.deploying.status],
        ["timed_out", "skipped", "skipped"],
      );
      assert.equal(await revisions.setStage(id, "building", "running"), false);
    });

    test("progress of the deployment to timelines", async () => {
      const { id } = await create({ preview: true, branch: "feat/x" });
      await revisions.move(id, { from: ["queued"], to: "building" });
      await revisions.setStage(id, "deploying", "running");
      for (const timeline of timelinesFor((await revisions.get(id))!)) {
        await revisions.setTimelinePart(id, timeline, "timeline", "running");
        await revisions.setTimelinePart(id, timeline, "predeploy", "running", "deno task migrate");
      }
      await revisions.setTimelinePart(id, production, "predeploy", "succeeded");
      await revisions.move(id, { from: ["building"], to: "succeeded" });
      const { deploying } = await progressOf(id);
      assert.deepEqual(
        deploying.timelines.map(({ slug, partition }) => keyOf({ slug, partition })),
        ["production", "git-branch/feat/x", `preview/${id}`],
      );
      const { predeploy, routing, database: data } = deploying.timelines[0]!;
      assert.deepEqual([predeploy.command, routing.status, data.status], ["deno task migrate", "skipped", "skipped"]);
    });

    test("variables of a revision override those of its app, and their values are not in the table", async () => {
      const row = await create({ env: [{ key: "OWN", value: "only-here-77" }] });
      assert.deepEqual(await revisions.environment(row, "production"), { OWN: "only-here-77" });
      assert.ok(
        !JSON.stringify(await opened.db.selectFrom("revisions").selectAll().execute()).includes("only-here-77"),
      );
    });

    test("a timeline serves one revision, keeps its history, and stays where it is pinned", async () => {
      const [first, second, third] = [await create(), await create(), await create()];
      const name = branchTimeline("main");
      assert.deepEqual(await revisions.timelines.activate(first, name), { former: undefined, blocked: false });
      assert.deepEqual(await revisions.timelines.activate(second, name), { former: first.id, blocked: false });
      assert.deepEqual(await revisions.timelines.activate(first, name, { pin: true }), {
        former: second.id,
        blocked: false,
      });
      assert.deepEqual(await revisions.timelines.activate(third, name), { former: first.id, blocked: true });
      const row = (await revisions.timelines.find(app.id, keyOf(name)))!;
      assert.equal(row.revision_id, first.id);
      assert.deepEqual(nameOf(row), name);
      await revisions.timelines.unpin(row.id);
      assert.equal((await revisions.timelines.activate(third, name)).blocked, false);
      const history = await revisions.timelines.history(row.id, 10);
      assert.deepEqual(
        history.map(({ revisionId }) => revisionId),
        [third.id, first.id, second.id, first.id],
      );
      await revisions.timelines.activate(third, previewOf(third.id));
      assert.deepEqual(
        (await revisions.timelines.of(third.id)).map(({ key }) => key),
        [`preview/${third.id}`, keyOf(name)],
      );
      await revisions.move(second.id, { from: ["queued"], to: "failed" });
      await assert.rejects(revisions.timelines.activate(second, name), { code: "invalid_state" });
    });

    test("build logs are kept in order up to the limit, and one line says so", async () => {
      const { id } = await create();
      const line = (message: string) => ({ level: "info", step: "building", message }) as const;
      await Promise.all([1, 2, 3].map((number) => revisions.buildLog(id, [line(`line ${number}`)])));
      await revisions.buildLog(id, [line("x".repeat(1500)), line("y".repeat(1500)), line("dropped")]);
      const rows = await opened.db
        .selectFrom("build_logs")
        .selectAll()
        .where("revision_id", "=", id)
        .orderBy("seq")
        .execute();
      const messages = rows.map(({ message }) => String(message));
      assert.deepEqual(messages.slice(0, 3), ["line 1", "line 2", "line 3"]);
      assert.equal(messages.length, 5);
      assert.match(messages[4]!, /rest of the output is not kept/);
    });

    test("empty lines of a build fill its log as well", async () => {
      const { id } = await create();
      await revisions.buildLog(
        id,
        Array.from({ length: 1000 }, () => ({ level: "info", step: "building", message: "" }) as const),
      );
      const rows = await opened.db.selectFrom("build_logs").select("seq").where("revision_id", "=", id).execute();
      assert.ok(rows.length < 100, `${rows.length} rows`);
    });

    test("runtime logs are limited by app and minute", async () => {
      const base = { orgId: app.org_id, appId: app.id, level: "warn" } as const;
      revisions.runtimeLogs(Array.from({ length: 8 }, (_, index) => ({ ...base, message: `m${index}\0` })));
      await opened.parts[1]!.stop!("end");
      const rows = await opened.db.selectFrom("runtime_logs").selectAll().orderBy("id").execute();
      assert.deepEqual(
        rows.map(({ message }) => String(message)),
        ["m0", "m1", "m2", "m3", "m4", "3 lines were not kept: an app can log 5 lines in a minute."],
      );
      const [minute] = await opened.db.selectFrom("runtime_log_minutes").selectAll().execute();
      assert.ok(Number(minute!.bytes) > 0);
    });
  });
}
