/** Rows 94, 97: apps, their configuration, and layers of configuration. */
import assert from "node:assert/strict";
import { Client } from "@deno/sandbox";
import { rejection, type Scenario } from "../runner/scenario.ts";

/** No sandbox is needed. */
export const shared = false;

const client = new Client();
const run = Math.random().toString(36).slice(2, 10);
let count = 0;
/** Slugs of one run of this file differ from those of all others. */
const slug = (name: string) => `${name}-${run}-${++count}`;

async function refused(promise: Promise<unknown>, status: number, code: string): Promise<void> {
  const error = (await rejection(promise)) as { status?: number; code?: string };
  assert.deepEqual([error.status, error.code], [status, code]);
}

export const scenarios: readonly Scenario[] = [
  {
    row: 94,
    title: "an app: create, get by id and slug, update, delete",
    async run() {
      const app = await client.apps.create();
      assert.match(app.id, /^[0-9a-f]{8}-[0-9a-f-]{27}$/);
      assert.deepEqual([app.labels, app.env_vars, app.layers], [{}, [], []]);
      assert.deepEqual(await client.apps.get(app.slug), app);
      const name = slug("app");
      const config = { install: null, build: "deno task build", framework: "fresh" } as const;
      const updated = await client.apps.update(app.id, { slug: name, labels: { "custom.env": "test" }, config });
      assert.deepEqual([updated.slug, updated.labels, updated.config], [name, { "custom.env": "test" }, config]);
      assert.equal(updated.created_at, app.created_at);
      assert.notEqual(updated.updated_at, app.updated_at);
      await refused(client.apps.create({ slug: name }), 409, "SLUG_ALREADY_IN_USE");
      await refused(client.apps.create({ slug: "No Slug" }), 400, "INVALID_ARGUMENT");
      await client.apps.delete(name);
      assert.equal(await client.apps.get(app.id), null);
      await refused(client.apps.update(app.id, {}), 404, "APP_NOT_FOUND");
    },
  },
  {
    row: 94,
    title: "environment variables: contexts, deep merge, secrets that never come back",
    async run() {
      const app = await client.apps.create({
        env_vars: [
          { key: "SECRET", value: "hidden", secret: true },
          { key: "URL", value: "one", contexts: ["production", "build"] },
        ],
      });
      const [secret, url] = app.env_vars;
      assert.equal(secret!.value, undefined);
      assert.deepEqual([url!.value, url!.secret, url!.contexts], ["one", false, ["production", "build"]]);
      const updated = await client.apps.update(app.id, {
        env_vars: [
          { key: "URL", value: "two" },
          { id: secret!.id, delete: true },
          { key: "MORE", value: "3" },
        ],
      });
      const shown = updated.env_vars.map(({ id, key, value, contexts }) => [id === url!.id, key, value, contexts]);
      assert.deepEqual(shown, [
        [true, "URL", "two", ["production", "build"]],
        [false, "MORE", "3", "all"],
      ]);
      await refused(
        client.apps.update(app.id, { env_vars: [{ key: "DENO_DEPLOY", value: "1" }] }),
        400,
        "INVALID_ARGUMENT",
      );
      await client.apps.delete(app.id);
    },
  },
  {
    row: 94,
    title: "apps are listed in pages, by label and by layer",
    async run() {
      const layer = await client.layers.create({ slug: slug("filter") });
      const ids: string[] = [];
      for (let index = 0; index < 3; index++)
        ids.unshift((await client.apps.create({ labels: { run, index: String(index) }, layers: [layer.id] })).id);
      const listed: string[] = [];
      for await (const { id } of await client.apps.list({ limit: 2, labels: { run } })) listed.push(id);
      assert.deepEqual(listed, ids);
      const page = await client.apps.list({ limit: 2, layer: layer.slug });
      assert.deepEqual([page.items.map(({ id }) => id), page.hasMore], [ids.slice(0, 2), true]);
      assert.deepEqual(page.items[0]!.layers, [{ id: layer.id, slug: layer.slug }]);
      assert.equal((await client.apps.list({ labels: { run, index: "1" } })).items.length, 1);
      for (const id of ids) await client.apps.delete(id);
      await client.layers.delete(layer.id);
    },
  },
  {
    row: 97,
    title: "layers: all six operations",
    async run() {
      const [base, top] = [slug("base"), slug("top")];
      const made = await client.layers.create({
        slug: base,
        description: "shared",
        env_vars: [{ key: "A", value: "1" }],
      });
      assert.deepEqual([made.description, made.app_count, made.layers], ["shared", 0, []]);
      assert.deepEqual(await client.layers.get(base), made);
      assert.equal(await client.layers.get("no-such-layer"), null);
      const { layers } = await client.layers.create({ slug: top, layers: [made.id] });
      assert.deepEqual(layers, [{ id: made.id, slug: base }]);
      assert.deepEqual(
        (await client.layers.list({ search: base })).items.map(({ id }) => id),
        [made.id],
      );
      const updated = await client.layers.update(made.id, {
        env_vars: [{ key: "B", value: "2" }],
        description: "more",
      });
      assert.deepEqual([updated.description, updated.env_vars.map(({ key }) => key)], ["more", ["A", "B"]]);
      const app = await client.apps.create({ layers: [top, base] });
      assert.deepEqual((await client.layers.apps(base)).items, [{ id: app.id, slug: app.slug, layer_position: 1 }]);
      assert.equal((await client.layers.get(base))!.app_count, 1);
      await refused(client.layers.delete(base), 409, "INVALID_STATE");
      await client.apps.delete(app.id);
      for (const name of [top, base]) await client.layers.delete(name);
      assert.equal(await client.layers.get(made.id), null);
    },
  },
  {
    row: 94,
    title: "runtime logs of an app that has not run; what is not valid",
    async run() {
      const app = await client.apps.create();
      assert.deepEqual((await client.apps.logs(app.id, { start: "2026-01-01T00:00:00Z" })).items, []);
      await refused(client.apps.logs(app.id, { start: "yesterday" }), 400, "INVALID_ARGUMENT");
      await refused(client.apps.logs("no-such-app", { start: "2026-01-01T00:00:00Z" }), 404, "APP_NOT_FOUND");
      assert.deepEqual((await client.revisions.list(app.slug)).items, []);
      assert.deepEqual((await client.timelines.list(app.slug)).items, []);
      assert.equal(await client.revisions.get("nonexistent-revision-id"), null);
      await client.apps.delete(app.id);
    },
  },
];
