import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type {
  App,
  BuildLogEntry,
  Revision,
  RevisionListItem,
  RevisionProgress,
  RuntimeLog,
  RuntimeLogPage,
  Timeline,
  TimelineTraffic,
} from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { appsService, appsSlice, type AppRow } from "../apps/index.ts";
import { openSlices, type RequestOptions, type TestSlices } from "../testing/slices.ts";
import {
  revisionsService,
  revisionsSlice,
  type NewRevision,
  type RevisionRow,
  type RevisionsService,
} from "./index.ts";
import { firstArrivalId } from "./logs/runtime-logs.ts";
import { previewOf, production } from "./timelines.ts";

interface Answer<T> {
  readonly status: number;
  readonly body: T;
  readonly next: string | undefined;
}

for (const database of ["SQLite", "PostgreSQL"] as const) {
  describe(`routes of revisions on ${database}`, () => {
    let opened: TestSlices;
    let revisions: RevisionsService;
    let app: AppRow;
    const released: string[] = [];
    const cancelled: string[] = [];
    let failRelease = false;
    let refuseActivation = false;

    before(async () => {
      opened = await openSlices({
        database,
        slices: [appsSlice, revisionsSlice],
        config: { apps: { maxRevisions: 6, logStreams: 2, logBytes: 1000, disableAfterDays: 1, deleteAfterDays: 1 } },
      });
      revisions = opened.services.use(revisionsService);
      revisions.onCancel((id) => void cancelled.push(id));
      revisions.onDelete(async ({ id }) => {
        if (failRelease) throw new Error("not now");
        released.push(id);
      });
      revisions.onActivate(async () => {
        if (refuseActivation) throw new CaissonError("invalid_state", "It did not become healthy.");
      });
      revisions.useDomains(({ slug }, { slug: timeline }) => [`${slug}-${timeline}.test`]);
      app = await newApp("one");
    });
    after(() => opened.close());

    const ask = async <T>(method: string, path: string, options?: RequestOptions): Promise<Answer<T>> => {
      const response = await opened.request(method, `/api/v2${path}`, options);
      const text = await response.text();
      const next = /^<(.+)>; rel="next"$/.exec(response.headers.get("link") ?? "")?.[1];
      return { status: response.status, body: (text === "" ? undefined : JSON.parse(text)) as T, next };
    };
    const refused = async (status: number, code: string, method: string, path: string, options?: RequestOptions) => {
      const { status: got, body } = await ask<{ code: string; message: string }>(method, path, options);
      assert.deepEqual([got, body.code], [status, code], body.message);
      return body.message;
    };
    const newApp = async (slug: string): Promise<AppRow> => {
      const { id } = (await ask<App>("POST", "/apps", { body: { slug } })).body;
      return (await opened.services.use(appsService).get(id))!;
    };
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
    const built = async (also: Partial<NewRevision> = {}): Promise<RevisionRow> => {
      const row = await create(also);
      await revisions.move(row.id, { from: ["queued"], to: "succeeded" });
      return (await revisions.get(row.id))!;
    };
    const age = (id: string, column: string, days: number) =>
      opened.db
        .updateTable("revisions")
        .set({ [column]: Date.now() - days * 86_400_000 })
        .where("id", "=", id)
        .execute();
    const care = () =>
      opened.parts[1]!.background!.find(({ name }) => name.includes("unused"))!.run(new AbortController().signal);
    const values = async <T>(path: string, accept?: string): Promise<T[]> => {
      const headers = accept === undefined ? {} : { accept };
      const response = await opened.request("GET", `/api/v2${path}`, { headers });
      assert.equal(response.status, 200);
      const text = await response.text();
      const ndjson = response.headers.get("content-type") === "application/x-ndjson";
      assert.ok(!text.includes("\r"));
      return text
        .split("\n")
        .filter((line) => (ndjson ? line !== "" : line.startsWith("data: ")))
        .map((line) => JSON.parse(ndjson ? line : line.slice(6)) as T);
    };

    test("a revision has all keys of the contract, and lists leave the large ones out", async () => {
      const own = await newApp("shown");
      const row = await create({
        app: own,
        config: { framework: "fresh" },
        env: [{ key: "A", value: "1" }],
        labels: { "git.branch": "main" },
      });
      const { body } = await ask<Revision>("GET", `/revisions/${row.id}`);
      assert.deepEqual(body, {
        id: row.id,
        status: "queued",
        failure_reason: null,
        failure_message: null,
        labels: { "git.branch": "main" },
        retention: "auto",
        created_at: new Date(row.created_at).toISOString(),
        cancellation_requested_at: null,
        build_finished_at: null,
        deleted_at: null,
        layers: [],
        env_vars: [{ key: "A", value: "1" }],
        config: { framework: "fresh" },
      });
      const { layers, env_vars, config, ...item } = body;
      assert.ok([layers, env_vars, config].every(Boolean));
      assert.deepEqual((await ask<RevisionListItem[]>("GET", "/apps/shown/revisions?status=queued")).body, [item]);
      assert.deepEqual((await ask("GET", "/apps/shown/revisions?status=failed")).body, []);
      await refused(400, "INVALID_ARGUMENT", "GET", "/apps/shown/revisions?status=x");
      await refused(404, "REVISION_NOT_FOUND", "GET", "/revisions/nonexistent-revision-id");
      const other = { org: { ...opened.org, id: "other" } };
      for (const path of ["", "/timelines", "/progress", "/build_logs"])
        await refused(404, "REVISION_NOT_FOUND", "GET", `/revisions/${row.id}${path}`, other);
      await refused(404, "REVISION_NOT_FOUND", "DELETE", `/revisions/${row.id}`, other);
      await refused(404, "REVISION_NOT_FOUND", "POST", `/revisions/${row.id}/cancel`, other);
      await ask("DELETE", "/apps/shown");
    });

    test("what a revision may not have is refused", async () => {
      await assert.rejects(create({ env: [{ key: "LD_PRELOAD", value: "x" }] }), { code: "invalid_argument" });
      await assert.rejects(create({ labels: { a: "x".repeat(1025) } }), { code: "invalid_argument" });
      await assert.rejects(create({ branch: "" }), { code: "invalid_argument" });
    });

    test("cancel asks whoever builds, once it is known; an ended build cannot be cancelled", async () => {
      const { id } = await create();
      const { status, body } = await ask<Revision>("POST", `/revisions/${id}/cancel`, { body: {} });
      assert.deepEqual([status, body.status, cancelled.at(-1)], [200, "queued", id]);
      assert.notEqual(body.cancellation_requested_at, null);
      await revisions.move(id, { from: ["queued"], to: "failed", reason: "cancelled" });
      const ended = (await ask<Revision>("GET", `/revisions/${id}`)).body;
      assert.deepEqual([ended.status, ended.failure_reason], ["failed", "cancelled"]);
      await refused(409, "INVALID_STATE", "POST", `/revisions/${id}/cancel`);
      await ask("DELETE", `/revisions/${id}`);
    });

    test("delete: not while it is built, not while it is active; its row stays and says so", async () => {
      const first = await built({ preview: true });
      const second = await create();
      await refused(409, "REVISION_BUILDING", "DELETE", `/revisions/${second.id}`);
      await revisions.move(second.id, { from: ["queued"], to: "building" });
      await refused(409, "REVISION_BUILDING", "DELETE", `/revisions/${second.id}`);
      await revisions.move(second.id, { from: ["building"], to: "succeeded" });
      await revisions.timelines.activate(first, production);
      await revisions.timelines.activate(first, previewOf(first.id));
      assert.match(await refused(409, "REVISION_ACTIVE", "DELETE", `/revisions/${first.id}`), /production/);
      await revisions.timelines.activate(second, production);
      failRelease = true;
      assert.equal((await ask("DELETE", `/revisions/${first.id}`)).status, 204);
      assert.ok(!released.includes(first.id));
      failRelease = false;
      await care();
      assert.ok(released.includes(first.id));
      const gone = (await ask<Revision>("GET", `/revisions/${first.id}`)).body;
      assert.notEqual(gone.deleted_at, null);
      assert.deepEqual((await ask("GET", `/revisions/${first.id}/timelines`)).body, []);
      await refused(404, "REVISION_NOT_FOUND", "DELETE", `/revisions/${first.id}`);
      const listed = new Set((await ask<RevisionListItem[]>("GET", "/apps/one/revisions")).body.map(({ id }) => id));
      assert.ok(listed.has(second.id) && !listed.has(first.id));
    });

    test("promote and roll back; a pin keeps a timeline where it is", async () => {
      const own = await newApp("rollout");
      const [first, second] = [await built({ app: own }), await built({ app: own })];
      const active = async () => (await revisions.timelines.find(own.id, "production"))?.revision_id;
      assert.equal((await ask("POST", `/revisions/${first.id}/promote`)).status, 204);
      assert.equal((await ask("POST", `/revisions/${second.id}/promote`)).status, 204);
      assert.equal(await active(), second.id);
      refuseActivation = true;
      await refused(409, "INVALID_STATE", "POST", `/revisions/${first.id}/promote`);
      refuseActivation = false;
      assert.equal(await active(), second.id);
      const pin = "/apps/rollout/timelines/production/pin";
      assert.equal((await ask("PUT", pin, { body: { revision: first.id } })).status, 204);
      assert.equal(await active(), first.id);
      assert.match(await refused(409, "INVALID_STATE", "POST", `/revisions/${second.id}/promote`), /pinned/);
      assert.equal((await ask("DELETE", pin)).status, 204);
      assert.equal((await ask("POST", `/revisions/${second.id}/promote`)).status, 204);
      const branch = "/apps/rollout/timelines/git-branch%3Afeat%252Fx/pin";
      assert.equal((await ask("PUT", branch, { body: { revision: first.id } })).status, 204);
      const timelines = (await ask<Timeline[]>("GET", "/apps/rollout/timelines?limit=1")).body;
      assert.deepEqual(timelines, [
        {
          slug: "git-branch",
          partition: { "git.branch": "feat/x" },
          app: { id: own.id, slug: "rollout" },
          context: { slug: "development" },
          domains: [{ domain: "rollout-git-branch.test" }],
        },
      ]);
      const { next } = await ask("GET", "/apps/rollout/timelines?limit=1");
      const rest = (await ask<Timeline[]>("GET", next!.slice("http://localhost/api/v2".length))).body;
      assert.deepEqual(
        rest.map(({ slug, context }) => [slug, context.slug]),
        [["production", "production"]],
      );
      await refused(404, "NOT_FOUND", "DELETE", "/apps/rollout/timelines/preview%3Anope/pin");
      await refused(404, "NOT_FOUND", "PUT", "/apps/rollout/timelines/nope/pin", { body: { revision: first.id } });
      await refused(404, "REVISION_NOT_FOUND", "PUT", "/apps/one/timelines/production/pin", {
        body: { revision: first.id },
      });
      const failed = await create({ app: own });
      await refused(409, "INVALID_STATE", "POST", `/revisions/${failed.id}/promote`);
      await ask("DELETE", "/apps/rollout");
    });

    test("a timeline divides its requests until a promotion, a pin or its end", async () => {
      const owner = await newApp("divided");
      const [first, second, third] = [
        await built({ app: owner }),
        await built({ app: owner }),
        await built({ app: owner }),
      ];
      const traffic = "/apps/divided/timelines/production/traffic";
      const divide = (...shares: [RevisionRow, number][]) => ({
        body: { revisions: shares.map(([{ id }, weight]) => ({ revision: id, weight })) },
      });
      const shares = async () =>
        (await ask<TimelineTraffic>("GET", traffic)).body.revisions.map(({ revision, weight }) => [revision, weight]);
      const sorted = (...all: [RevisionRow, number][]) =>
        all.map(([{ id }, weight]) => [id, weight]).toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1));
      await refused(404, "NOT_FOUND", "PUT", traffic, divide([first, 1]));
      assert.equal((await ask("POST", `/revisions/${first.id}/promote`)).status, 204);
      assert.deepEqual(await shares(), [[first.id, 1]]);

      assert.equal((await ask("PUT", traffic, divide([first, 90], [second, 10], [third, 0]))).status, 200);
      assert.deepEqual(await shares(), sorted([first, 90], [second, 10]));
      assert.equal((await ask<Timeline[]>("GET", `/revisions/${second.id}/timelines`)).body[0]?.slug, "production");
      await refused(409, "REVISION_ACTIVE", "DELETE", `/revisions/${second.id}`);
      await age(second.id, "used_at", 30);
      await care();
      assert.equal((await revisions.get(second.id))!.disabled_at, null);

      // What is refused changes nothing.
      const foreign = await built();
      const queued = await create({ app: owner });
      await refused(404, "REVISION_NOT_FOUND", "PUT", traffic, divide([first, 1], [foreign, 1]));
      await refused(409, "INVALID_STATE", "PUT", traffic, divide([first, 1], [queued, 1]));
      for (const body of [divide([first, 0]), divide([first, 1], [first, 2]), divide(), divide([first, 1001])])
        assert.equal((await ask("PUT", traffic, body)).status, 400);
      refuseActivation = true;
      await refused(409, "INVALID_STATE", "PUT", traffic, divide([third, 1]));
      refuseActivation = false;
      assert.deepEqual(await shares(), sorted([first, 90], [second, 10]));
      const pin = "/apps/divided/timelines/production/pin";
      assert.equal((await ask("PUT", pin, { body: { revision: first.id } })).status, 204);
      await refused(409, "INVALID_STATE", "PUT", traffic, divide([first, 1], [second, 1]));
      assert.deepEqual(await shares(), [[first.id, 1]]);
      assert.equal((await ask("DELETE", pin)).status, 204);
      assert.equal((await ask("PUT", traffic, divide([first, 1], [second, 1]))).status, 200);

      assert.equal((await ask("DELETE", traffic)).status, 204);
      assert.deepEqual(await shares(), [[first.id, 1]]);
      assert.equal((await ask("PUT", traffic, divide([first, 1], [second, 1]))).status, 200);
      assert.equal((await ask("POST", `/revisions/${first.id}/promote`)).status, 204);
      assert.deepEqual(await shares(), [[first.id, 1]]);
      assert.equal((await ask("PUT", traffic, divide([first, 1], [second, 1]))).status, 200);
      assert.equal((await ask("POST", `/revisions/${third.id}/promote`)).status, 204);
      assert.deepEqual(await shares(), [[third.id, 1]]);
      assert.equal((await ask("DELETE", `/revisions/${second.id}`)).status, 204);
      await revisions.move(queued.id, { from: ["queued"], to: "failed", reason: "error" });
    });

    test("progress and build logs are followed to the end, in both forms", async () => {
      const { id } = await create();
      const line = (message: string, step: "preparing" | "deploying" = "preparing") =>
        ({ level: "info", step, message }) as const;
      await revisions.buildLog(id, [line("before")]);
      const reading = Promise.all([
        values<RevisionProgress>(`/revisions/${id}/progress`, "text/event-stream"),
        values<BuildLogEntry>(`/revisions/${id}/build_logs`, "*/*"),
      ]);
      await revisions.move(id, { from: ["queued"], to: "building" });
      await revisions.buildLog(id, [
        line("during\n"),
        { ...line("to production", "deploying"), timeline: "production" },
      ]);
      await revisions.setStage(id, "preparing", "running");
      await revisions.buildLog(id, [{ ...line("last"), level: "error" }]);
      await revisions.move(id, {
        from: ["building"],
        to: "failed",
        reason: "error",
        message: "preparing: no entrypoint",
      });
      const [progress, logs] = await reading;
      assert.equal(progress.at(-1)!.preparing.status, "errored");
      assert.ok(progress.length >= 1);
      assert.deepEqual(
        logs.map(({ message, level }) => [message, level]),
        [
          ["before", "info"],
          ["during\n", "info"],
          ["to production", "info"],
          ["last", "error"],
        ],
      );
      const again = await values<BuildLogEntry>(`/revisions/${id}/build_logs`, "application/x-ndjson");
      assert.deepEqual(again, logs);
      assert.equal(again[2]!.timeline, "production");
      assert.deepEqual(await values(`/revisions/${id}/build_logs?step=deploying`), [again[2]]);
      assert.deepEqual(await values(`/revisions/${id}/build_logs?timeline=preview`), []);
      assert.equal((await values(`/revisions/${id}/progress`, "application/x-ndjson")).length, 1);
      await refused(400, "INVALID_ARGUMENT", "GET", `/revisions/${id}/build_logs?step=x`);
      await ask("DELETE", `/revisions/${id}`);
    });

    test("an organisation reads so many streams at a time", async () => {
      const { id } = await create();
      const open = () => opened.request("GET", `/api/v2/revisions/${id}/progress`);
      const [first, second] = [await open(), await open()];
      await refused(429, "RESOURCE_EXHAUSTED", "GET", `/revisions/${id}/progress`);
      await first.body!.cancel();
      for (let count = 0; count < 3; count++)
        assert.equal((await opened.request("HEAD", `/api/v2/revisions/${id}/progress`)).status, 200);
      const third = await open();
      assert.equal(third.status, 200);
      await revisions.move(id, { from: ["queued"], to: "failed" });
      for (const response of [second, third]) await response.text();
      assert.equal((await open()).status, 200);
      await ask("DELETE", `/revisions/${id}`);
    });

    test("runtime logs: pages in both ways of the clients, filters, bounds", async () => {
      const own = await newApp("logged");
      const base = Date.parse("2026-01-01T00:00:00Z");
      const levels = ["debug", "info", "warn", "error"] as const;
      const line = (at: number, message: string) => ({
        orgId: own.org_id,
        appId: own.id,
        at: base + at,
        level: levels[at % 4]!,
        message,
      });
      revisions.runtimeLogs(
        Array.from({ length: 20 }, (_, at) => ({
          ...line(at, `Line ${at} 100%`),
          revisionId: at < 10 ? "early" : "late",
          traceId: "t",
        })).toReversed(),
      );
      const read = async (query: string) =>
        (await ask<RuntimeLogPage>("GET", `/apps/logged/logs?start=2026-01-01T00:00:00Z${query}`)).body;
      const messages = ({ logs }: RuntimeLogPage) => logs.map(({ message }) => message.split(" ")[1]);
      const first = await ask<RuntimeLogPage>("GET", "/apps/logged/logs?start=2026-01-01T00:00:00Z&limit=8");
      assert.deepEqual(first.body.logs[0], {
        timestamp: "2026-01-01T00:00:00.000Z",
        level: "debug",
        message: "Line 0 100%",
        revision_id: "early",
        trace_id: "t",
      });
      const linked = new URL(first.next!).searchParams.get("cursor");
      assert.equal(linked, first.body.next_cursor);
      const second = await read(`&limit=8&cursor=${linked}`);
      const third = await read(`&limit=8&cursor=${second.next_cursor}`);
      assert.deepEqual(
        [...messages(first.body), ...messages(second), ...messages(third)],
        Array.from({ length: 20 }, (_, at) => String(at)),
      );
      assert.equal(third.next_cursor, null);
      assert.deepEqual(messages(await read("&level=error")), ["3", "7", "11", "15", "19"]);
      assert.deepEqual(messages(await read("&revision_id=late&level=warn")), ["10", "11", "14", "15", "18", "19"]);
      assert.deepEqual(messages(await read("&query=LINE%201")), [
        "1",
        "10",
        "11",
        "12",
        "13",
        "14",
        "15",
        "16",
        "17",
        "18",
        "19",
      ]);
      assert.deepEqual(messages(await read("&query=100%25")).length, 20);
      assert.deepEqual(messages(await read("&query=100_")), []);
      revisions.runtimeLogs([line(21, "Ärger"), line(22, "a".repeat(16_000))]);
      assert.deepEqual((await read("&query=%C3%84RGER")).logs.length, 1);
      assert.deepEqual((await read(`&query=${"a".repeat(255)}b`)).logs, []);
      assert.deepEqual(messages(await read("&end=2026-01-01T01:00:00.002%2B01:00")), ["0", "1"]);
      for (const bad of [
        "",
        "?start=yesterday",
        "?start=2026-01-01&level=loud",
        "?start=2026-01-01&cursor=x",
        "?start=2026-01-01&limit=x",
        "?start=2026-01-01&query=%00",
        `?start=2026-01-01&query=${"a".repeat(257)}`,
      ])
        await refused(400, "INVALID_ARGUMENT", "GET", `/apps/logged/logs${bad}`);
      await refused(404, "APP_NOT_FOUND", "GET", "/apps/nope/logs?start=2026-01-01");
      const replayed = await values<RuntimeLog>(
        "/apps/logged/logs?start=2026-01-01&end=2026-01-02&stream=true&level=error",
        "application/x-ndjson",
      );
      assert.deepEqual(
        replayed.map(({ message }) => message.split(" ")[1]),
        ["3", "7", "11", "15", "19"],
      );
      await ask("DELETE", "/apps/logged");
      assert.equal(
        (await opened.db.selectFrom("runtime_logs").select("id").where("app_id", "=", own.id).execute()).length,
        0,
      );
    });

    test("runtime logs are followed: what is stored, then what arrives, once each", async () => {
      const own = await newApp("followed");
      const say = (message: string) =>
        revisions.runtimeLogs([{ orgId: own.org_id, appId: own.id, level: "info", message }]);
      say("stored");
      const end = new Date(Date.now() + 1500).toISOString();
      const start = new Date(Date.now() - 60_000).toISOString();
      const reading = values<RuntimeLog>(`/apps/followed/logs?start=${start}&end=${end}`, "text/event-stream");
      const said = ["stored"];
      for (let number = 0; number < 5; number++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        say(`live ${number}`);
        said.push(`live ${number}`);
      }
      assert.deepEqual(
        (await reading).map(({ message }) => message),
        said,
      );
      await ask("DELETE", "/apps/followed");
    });

    test("runtime logs go when they are old, and the oldest when there are too many", async () => {
      const now = Math.floor(Date.now() / 60_000);
      const minutes = [now - 20 * 24 * 60, now - 30, now - 20, now - 10];
      const base = {
        org_id: "log-org",
        app_id: "log-app",
        revision_id: null,
        level: 1,
        region: null,
        trace_id: null,
        span_id: null,
      };
      for (const minute of minutes) {
        const at = minute * 60_000 + 5;
        await opened.db
          .insertInto("runtime_logs")
          .values({ ...base, id: `${firstArrivalId(at)}-x`, at, message: String(minute) })
          .execute();
        await opened.db.insertInto("runtime_log_minutes").values({ org_id: "log-org", minute, bytes: 400 }).execute();
      }
      const task = opened.parts[1]!.background!.find(({ name }) => name.includes("old runtime logs"))!;
      await task.run(new AbortController().signal);
      const left = async (table: string) =>
        (await opened.db.selectFrom(table).selectAll().where("org_id", "=", "log-org").execute()) as {
          message?: string;
          minute?: number;
        }[];
      assert.deepEqual(
        (await left("runtime_logs")).map(({ message }) => Number(message)),
        minutes.slice(2),
      );
      assert.deepEqual(
        (await left("runtime_log_minutes")).map(({ minute }) => minute),
        minutes.slice(2),
      );
    });

    test("the oldest revision makes room; without one that may go, a new one is refused", async () => {
      const own = await newApp("many");
      const rows: RevisionRow[] = [];
      for (let index = 0; index < 6; index++) rows.push(await built({ app: own }));
      await revisions.timelines.activate(rows[0]!, production);
      assert.equal(
        (await ask<Revision>("PATCH", `/revisions/${rows[1]!.id}`, { body: { retention: "indefinite" } })).body
          .retention,
        "indefinite",
      );
      await create({ app: own });
      assert.notEqual((await revisions.get(rows[2]!.id))!.deleted_at, null);
      // A pinned preview is active as well.
      await revisions.timelines.activate(rows[3]!, previewOf(rows[3]!.id), { pin: true });
      await create({ app: own });
      assert.deepEqual(
        [
          (await revisions.get(rows[3]!.id))!.deleted_at === null,
          (await revisions.get(rows[4]!.id))!.deleted_at === null,
        ],
        [true, false],
      );
      for (const { id } of rows.slice(3)) await ask("PATCH", `/revisions/${id}`, { body: { retention: "indefinite" } });
      await assert.rejects(create({ app: own }), { code: "resource_exhausted", wireCode: "REVISION_LIMIT_REACHED" });
      await refused(400, "INVALID_ARGUMENT", "PATCH", `/revisions/${rows[3]!.id}`, { body: { retention: "for ever" } });
      await ask("DELETE", "/apps/many");
    });

    test("what nobody uses is disabled, then deleted; what is active or kept is not", async () => {
      const own = await newApp("idle");
      const [active, kept, idle, used] = [
        await built({ app: own }),
        await built({ app: own, retention: "indefinite" }),
        await built({ app: own }),
        await built({ app: own }),
      ];
      await revisions.timelines.activate(active, production);
      for (const { id } of [active, kept, idle, used]) await age(id, "used_at", 2);
      await revisions.touch(used.id);
      await care();
      const disabled = async () =>
        (
          await opened.db
            .selectFrom("revisions")
            .select("id")
            .where("app_id", "=", own.id)
            .where("disabled_at", "is not", null)
            .execute()
        ).map(({ id }) => String(id));
      assert.deepEqual(await disabled(), [idle.id]);
      // Promoting it takes it into use again.
      await ask("POST", `/revisions/${idle.id}/promote`);
      assert.deepEqual(await disabled(), []);
      await age(active.id, "used_at", 2);
      await care();
      assert.deepEqual(await disabled(), [active.id]);
      await age(active.id, "disabled_at", 2);
      await care();
      assert.notEqual((await revisions.get(active.id))!.deleted_at, null);
      assert.ok(released.includes(active.id));
      await age(active.id, "released_at", 31);
      await care();
      assert.equal(await revisions.get(active.id), undefined);
      await ask("DELETE", "/apps/idle");
    });

    test("deleting an app cancels its builds, releases its revisions, and leaves no row", async () => {
      const own = await newApp("ended");
      const [building, done] = [await create({ app: own }), await built({ app: own })];
      await revisions.timelines.activate(done, production);
      await revisions.buildLog(done.id, [{ level: "info", step: "building", message: "x" }]);
      assert.equal((await ask("DELETE", "/apps/ended")).status, 204);
      assert.ok(cancelled.includes(building.id) && released.includes(building.id) && released.includes(done.id));
      assert.equal(await revisions.move(building.id, { from: ["queued"], to: "building" }), false);
      for (const table of ["revisions", "timelines", "runtime_logs"])
        assert.equal(
          (await opened.db.selectFrom(table).selectAll().where("app_id", "=", own.id).execute()).length,
          0,
          table,
        );
      assert.equal(
        (await opened.db.selectFrom("build_logs").selectAll().where("revision_id", "=", done.id).execute()).length,
        0,
      );
      assert.equal((await opened.db.selectFrom("apps").selectAll().where("id", "=", own.id).execute()).length, 0);
      // A deployment whose files arrived meanwhile.
      await assert.rejects(create({ app: own }), { code: "not_found", wireCode: "APP_NOT_FOUND" });
    });
  });
}
