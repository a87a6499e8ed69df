/** Rows 86-88, 95, 96, 102-107: deployments, their revisions, timelines and logs. One app, and its revisions one after the other. */
import assert from "node:assert/strict";
import { Client, type BuildLog, type RevisionProgress, type RuntimeLog } from "@deno/sandbox";
import { collect, rejection, type Context, type Scenario } from "../runner/scenario.ts";

const client = new Client();
const app = client.apps.create();
app.catch(() => undefined);

const main = (text: string) => `console.log("started ${text}"); Deno.serve(() => new Response("${text}"));`;

/** What the first scenario deploys; the others look at it. */
async function deployFirst({ sandbox, directory }: Context) {
  const { slug } = await app;
  await sandbox.fs.writeTextFile(`${directory}/main.ts`, main("one"));
  const build = await sandbox.deno.deploy(slug, {
    path: directory,
    production: true,
    build: { entrypoint: "main.ts" },
  });
  const logs = collect(build.logs());
  return { id: build.id, logs: await logs, revision: await build.done };
}
let first: ReturnType<typeof deployFirst> | undefined;
const deployed = (context: Context) => (first ??= deployFirst(context));

/** Deployed from files that the client sends. */
async function deploySecond() {
  const { id } = await client.apps.deploy((await app).id, {
    assets: { "main.ts": { content: main("two") }, "again.ts": { kind: "symlink", target: "main.ts" } },
    config: { runtime: { type: "dynamic", entrypoint: "again.ts" } },
    env_vars: [{ key: "OWN", value: "1" }],
    labels: { "git.branch": "main" },
    preview: true,
  });
  const progress: RevisionProgress[] = await collect(client.revisions.progress(id));
  return { id, progress };
}
let second: ReturnType<typeof deploySecond> | undefined;
const redeployed = (context: Context) => (second ??= deployed(context).then(() => deploySecond()));

const limit = 180_000;

export const scenarios: readonly Scenario[] = [
  {
    row: 86,
    title: "deploy the files of a sandbox",
    limit,
    async run(context) {
      const { id } = await deployed(context);
      assert.match(id, /^[0-9a-z]{8,20}$/);
      const nowhere = await rejection(context.sandbox.deno.deploy("no-such-app"));
      assert.match(nowhere.message, /404/);
    },
  },
  {
    row: 87,
    title: "build logs while it is deployed",
    limit,
    async run(context) {
      const { logs } = await deployed(context);
      assert.ok(logs.length > 0);
      for (const { timestamp, level, message, step } of logs) {
        assert.ok(!Number.isNaN(Date.parse(timestamp)) && typeof message === "string");
        assert.ok(
          ["info", "error"].includes(level) && ["preparing", "installing", "building", "deploying"].includes(step),
        );
      }
    },
  },
  {
    row: 88,
    title: "wait for the revision",
    limit,
    async run(context) {
      const { revision } = await deployed(context);
      assert.deepEqual([revision.status, revision.failure_reason], ["succeeded", null], JSON.stringify(revision));
      assert.notEqual(revision.build_finished_at, null);
      const { timelines } = revision as unknown as { timelines: { slug: string }[] };
      assert.deepEqual(
        timelines.map(({ slug }) => slug),
        ["production"],
      );
    },
  },
  {
    row: 95,
    title: "deploy files that the client sends",
    limit,
    async run(context) {
      const { id, progress } = await redeployed(context);
      const revision = (await client.revisions.get(id))!;
      assert.equal(revision.status, "succeeded", JSON.stringify(revision));
      assert.deepEqual(revision.env_vars, [{ key: "OWN", value: "1" }]);
      assert.deepEqual(revision.labels, { "git.branch": "main" });
      assert.ok(progress.length > 0);
      const bad = await rejection(client.apps.deploy((await app).id, { assets: { "../main.ts": { content: "" } } }));
      assert.equal((bad as { status?: number }).status, 400);
    },
  },
  {
    row: 102,
    title: "revisions: get, list, by status",
    limit,
    async run(context) {
      const [one, two] = [(await deployed(context)).id, (await redeployed(context)).id];
      const { slug } = await app;
      const ids = async (options: object) => (await client.revisions.list(slug, options)).items.map(({ id }) => id);
      assert.deepEqual(await ids({}), [two, one]);
      assert.deepEqual(await ids({ status: "succeeded" }), [two, one]);
      assert.deepEqual(await ids({ status: "building" }), []);
      const page = await client.revisions.list(slug, { limit: 1 });
      assert.deepEqual([page.items[0]!.id, page.hasMore], [two, true]);
      assert.equal((await client.revisions.get(one))!.id, one);
      assert.equal(await client.revisions.get("nonexistent-revision-id"), null);
    },
  },
  {
    row: 104,
    title: "progress: every stage, up to the end",
    limit,
    async run(context) {
      const { progress } = await redeployed(context);
      const last = progress.at(-1)!;
      for (const stage of ["queued", "preparing", "installing", "building", "deploying"] as const)
        assert.ok(["succeeded", "skipped"].includes(last[stage].status), `${stage}: ${last[stage].status}`);
      assert.deepEqual([last.queued.status, last.deploying.status], ["succeeded", "succeeded"]);
      assert.deepEqual(last.deploying.timelines.map(({ slug }) => slug).toSorted(), ["preview", "production"]);
    },
  },
  {
    row: 105,
    title: "build logs again, by step",
    limit,
    async run(context) {
      const { id, logs } = await deployed(context);
      const again: BuildLog[] = await collect(client.revisions.buildLogs(id));
      assert.deepEqual(again, logs);
      const step = logs[0]!.step;
      const some = await collect(client.revisions.buildLogs(id, { step }));
      assert.deepEqual(
        some,
        logs.filter((log) => log.step === step),
      );
    },
  },
  {
    row: 107,
    title: "timelines of an app",
    limit,
    async run(context) {
      const { id } = await redeployed(context);
      const { id: appId, slug } = await app;
      const timelines = (await client.timelines.list(slug)).items;
      const found = Object.fromEntries(timelines.map((timeline) => [timeline.slug, timeline]));
      assert.deepEqual(found["production"]!.partition, {});
      assert.deepEqual(found["preview"]!.partition, { "deno.revision.id": id });
      assert.deepEqual(found["production"]!.app, { id: appId, slug });
      assert.deepEqual(
        [found["production"]!.context.slug, found["preview"]!.context.slug],
        ["production", "development"],
      );
      assert.match(found["production"]!.domains[0]!.domain, new RegExp(`^${slug}\\.`));
      assert.match(found["preview"]!.domains[0]!.domain, new RegExp(`^${slug}-${id}\\.`));
    },
  },
  {
    row: 106,
    title: "timelines of a revision; delete: not the active one",
    limit,
    async run(context) {
      const [one, two] = [(await deployed(context)).id, (await redeployed(context)).id];
      const slugs = async (id: string) => (await client.revisions.timelines(id)).map(({ slug }) => slug).toSorted();
      assert.deepEqual([await slugs(one), await slugs(two)], [[], ["preview", "production"]]);
      const active = (await rejection(client.revisions.delete(two))) as { status?: number; code?: string };
      assert.deepEqual([active.status, active.code], [409, "REVISION_ACTIVE"]);
      await client.revisions.delete(one);
      assert.notEqual((await client.revisions.get(one))!.deleted_at, null);
      assert.deepEqual(
        (await client.revisions.list((await app).id)).items.map(({ id }) => id),
        [two],
      );
    },
  },
  {
    row: 96,
    title: "what the app printed",
    limit,
    async run(context) {
      const { id } = await redeployed(context);
      const start = new Date(Date.now() - 3600_000).toISOString();
      let found: RuntimeLog | undefined;
      for (let tries = 0; found === undefined && tries < 50; tries++) {
        const { items } = await client.apps.logs((await app).id, { start, revision_id: id, query: "STARTED two" });
        found = items[0];
        if (found === undefined) await new Promise((resolve) => setTimeout(resolve, 200));
      }
      assert.deepEqual([found?.level, found?.revision_id], ["info", id]);
    },
  },
  {
    row: 103,
    title: "cancel a build",
    limit,
    async run(context) {
      await redeployed(context);
      const { id: appId } = await app;
      const { id } = await client.apps.deploy(appId, {
        assets: { "main.ts": { content: main("three") } },
        config: { build: "sleep 300", runtime: { type: "dynamic", entrypoint: "main.ts" } },
      });
      const asked = await client.revisions.cancel(id);
      assert.notEqual(asked.cancellation_requested_at, null);
      await collect(client.revisions.progress(id));
      const ended = (await client.revisions.get(id))!;
      assert.deepEqual([ended.status, ended.failure_reason], ["failed", "cancelled"]);
      const late = (await rejection(client.revisions.cancel(id))) as { status?: number };
      assert.equal(late.status, 409);
      await client.apps.delete(appId);
      assert.equal(await client.revisions.get(id), null);
    },
  },
];
