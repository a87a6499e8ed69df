/** Deployments of static sites: a real database and real images, no machines. */
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DirectoryBlobs, LocalFiles, LocalLayers } from "@caisson/layers";
import { CaissonError, configSchema, type TreeEntry } from "@caisson/protocol";
import { HostNode, until } from "@caisson/testing";
import { pino } from "pino";
import { appsService, appsSlice } from "../apps/index.ts";
import { createSealer } from "../kernel/sealing.ts";
import { revisionsService, revisionsSlice, type RevisionRow, type RevisionsService } from "../revisions/index.ts";
import { certificatesSlice } from "../certificates/index.ts";
import { domainsService, domainsSlice } from "../domains/index.ts";
import { BuildCaches } from "./build/cache.ts";
import { InstanceCheckpoints } from "../serving/checkpoints/checkpoints.ts";
import { RevisionContents } from "../serving/contents.ts";
import { productionLabel } from "../serving/hosts.ts";
import { Resolver } from "../serving/resolver.ts";
import { ScalingSettings } from "../serving/scaling/settings.ts";
import { Serving } from "../serving/serving.ts";
import { openSlices, type TestSlices } from "../testing/slices.ts";
import { Workloads } from "../workloads/workloads.ts";
import { Deployments } from "./deployments.ts";

const log = pino({ level: "silent" });
const config = configSchema.parse({});
const egress = { policy: {}, secrets: [] };
let opened: TestSlices;
let node: HostNode;
let revisions: RevisionsService;
let contents: RevisionContents;
let serving: Serving;
let deployments: Deployments;
let app: { id: string; org_id: string };

before(async () => {
  opened = await openSlices({
    database: "SQLite",
    slices: [certificatesSlice, appsSlice, revisionsSlice, domainsSlice],
  });
  const { home, db, services, org } = opened;
  const layers = new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "blobs")));
  node = new HostNode("no machine is started", layers, new LocalFiles(join(home, "files")));
  await node.start();
  const apps = services.use(appsService);
  revisions = services.use(revisionsService);
  contents = new RevisionContents({ db, sealer: createSealer(Buffer.alloc(32, 1)), node, log });
  const workloads = new Workloads({ node, log });
  workloads.register({
    name: "no machines",
    acquire: () => Promise.reject(new CaissonError("unavailable", "A machine was asked for.")),
  });
  const resolver = new Resolver(apps, revisions, services.use(domainsService));
  const checkpoints = new InstanceCheckpoints({ config, node, workloads, log });
  const orgSlug = () => Promise.resolve(org.slug);
  const scaling = new ScalingSettings(db, config.serving);
  serving = new Serving({
    config,
    node,
    workloads,
    apps,
    revisions,
    contents,
    checkpoints,
    resolver,
    scaling,
    orgSlug,
    log,
  });
  revisions.onRoute(() => serving.routed());
  revisions.onActivate((revision, name) => serving.activate(revision, name, org.slug));
  const caches = new BuildCaches({ db, node, mostBytes: 0, mostOfOrganisation: 0, log });
  const build = { config, node, workloads, revisions, caches, log };
  deployments = new Deployments({ config, node, apps, revisions, contents, serving, build, orgSlug, log });
  app = { id: randomUUID(), org_id: org.id };
  await db
    .insertInto("apps")
    .values({ ...app, slug: "one", labels: "{}", config: "{}", created_at: 1, updated_at: 1, deleted_at: null })
    .execute();
});
afterEach(() => deployments.close());
after(async () => {
  await serving.close();
  await opened.close();
});

/** @param cwd directory of the site; a missing one makes the revision fail when it is to become healthy */
const create = (cwd = "", commands: { build?: string } = {}) =>
  revisions.create({
    app,
    config: { runtime: { type: "static", cwd }, ...commands },
    layers: [],
    env: [],
    labels: {},
    production: true,
    preview: true,
    retention: "auto",
  });

async function files(home = "home"): Promise<TreeEntry[]> {
  const content = await node.files.put(Readable.from([Buffer.from(home)]), { maxBytes: 100 });
  return [{ kind: "file", path: "index.html", executable: false, ...content }];
}

/** As the gateway does it. */
async function visit(): Promise<string> {
  const route = (await serving.find(productionLabel("one", opened.org.slug)))!;
  const stream = await route.connect(new AbortController().signal);
  stream.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
  return (await text(stream)).split("\r\n\r\n")[1]!;
}

const ended = (id: string) =>
  until(60_000, "the end of the deployment", async () => {
    const row = (await revisions.get(id))!;
    return row.status === "succeeded" || row.status === "failed" ? row : undefined;
  });
const served = async () => (await revisions.timelines.find(app.id, "production"))?.revision_id;

let first: RevisionRow;

test("a revision serves all its timelines, and a cancellation that comes too late takes nothing from it", async () => {
  first = await create();
  await deployments.begin(first, { tree: await files(), egress });
  const row = await ended(first.id);
  assert.deepEqual([row.status, row.failure_message], ["succeeded", null]);
  assert.deepEqual(
    (await revisions.timelines.of(first.id)).map(({ key }) => key),
    ["production", `preview/${first.id}`],
  );
  await until(10_000, "the deployment", () => (deployments.running === 0 ? true : undefined));
  deployments.cancel(first.id);
  // When a later one has given back everything, this one would have as well.
  const next = await create();
  await contents.store(next.id, { tree: [], egress });
  deployments.cancel(next.id);
  assert.equal((await ended(next.id)).failure_reason, "cancelled");
  await until(10_000, "no files", async () => ((await contents.find(next.id)) === undefined ? true : undefined));
  assert.equal((await contents.find(first.id))?.files, true);
  assert.deepEqual(await node.files.images(), [first.id]);
});

test("a revision that does not become healthy serves nowhere, and nothing of it is left", async () => {
  const revision = await create("missing");
  await deployments.begin(revision, { tree: await files(), egress });
  const row = await ended(revision.id);
  assert.match(row.failure_message!, /"missing".* is not among the files/);
  assert.deepEqual(await revisions.timelines.of(revision.id), []);
  assert.equal(await served(), first.id);
  await until(10_000, "no files", async () => ((await contents.find(revision.id)) === undefined ? true : undefined));
  assert.deepEqual(await node.files.images(), [first.id]);
});

test("after a restart: what has its files goes on, the rest fails, and what belongs to another node is left alone", async () => {
  const [stored, collecting, cancelled, elsewhere] = [await create(), await create(), await create(), await create()];
  const tree = await files();
  await contents.store(stored.id, { tree, egress });
  await contents.store(collecting.id, { tree: [], egress });
  for (const { id } of [cancelled, elsewhere]) await contents.store(id, { tree, egress });
  await opened.db
    .updateTable("revisions")
    .set({ cancellation_requested_at: 1 })
    .where("id", "=", cancelled.id)
    .execute();
  await opened.db
    .updateTable("revision_contents")
    .set({ node_id: "another" })
    .where("revision_id", "=", elsewhere.id)
    .execute();
  await deployments.resume();
  assert.equal((await ended(stored.id)).status, "succeeded");
  assert.equal(await served(), stored.id);
  assert.match((await ended(collecting.id)).failure_message!, /before it had all files/);
  assert.equal((await ended(cancelled.id)).failure_reason, "cancelled");
  assert.equal((await revisions.get(elsewhere.id))?.status, "queued");
});

test("after a restart: what was built is not built again, and what was not is", async () => {
  const tree = await files("built");
  const begin = async (manifest: string) => {
    const revision = await create("", { build: "no machine can run this" });
    await revisions.setContent(revision.id, { files: 1, bytes: 5, manifest });
    await contents.store(revision.id, { tree, egress });
    return revision.id;
  };
  const built = await begin(createHash("sha256").update(JSON.stringify(tree)).digest("hex"));
  const before = await begin("0".repeat(64));
  await deployments.resume();
  assert.equal((await ended(built)).status, "succeeded");
  assert.equal((await ended(before)).failure_message, "A machine was asked for.");
});

test("revisions share the requests of a timeline exactly by their weights, until one serves all of them again", async () => {
  const [old, next] = [await create(), await create()];
  await deployments.begin(old, { tree: await files("old"), egress });
  assert.equal((await ended(old.id)).status, "succeeded");
  await deployments.begin(next, { tree: await files("next"), egress });
  assert.equal((await ended(next.id)).status, "succeeded");
  const counts = async (visits: number) => {
    const bodies = await Promise.all(Array.from({ length: visits }, visit));
    return [bodies.filter((body) => body === "old").length, bodies.filter((body) => body === "next").length];
  };
  await until(10_000, "the deployments", () => (deployments.running === 0 ? true : undefined));
  serving.routed();
  assert.deepEqual(await counts(20), [0, 20]);
  const path = "/api/v2/apps/one/timelines/production/traffic";
  const divide = async (...revisions: { revision: string; weight: number }[]) =>
    assert.equal((await opened.request("PUT", path, { body: { revisions } })).status, 200);
  await divide({ revision: old.id, weight: 3 }, { revision: next.id, weight: 1 });
  assert.deepEqual(await counts(40), [30, 10]);
  // Also when the answer is looked up again.
  serving.routed();
  assert.deepEqual(await counts(40), [30, 10]);
  await serving.settle();
  await divide({ revision: old.id, weight: 1 }, { revision: next.id, weight: 1 });
  assert.deepEqual(await counts(40), [20, 20]);
  assert.equal((await opened.request("POST", `/api/v2/revisions/${old.id}/promote`)).status, 204);
  assert.deepEqual(await counts(20), [20, 0]);
});

test("contents that no revision names are removed, except those of work in progress; so are images of builds", async () => {
  const put = async (text: string) =>
    (await node.files.put(Readable.from([Buffer.from(text)]), { maxBytes: 100 })).digest;
  const isThere = (digest: string) =>
    node.files.read(digest).then(
      (stream) => Boolean(stream.destroy()),
      () => false,
    );
  const served = ((await contents.of(first.id)).tree[0] as { digest: string }).digest;
  await node.files.pack(`src${first.id}`, []);
  const lost = await put("of one that fails");
  const kept = Promise.withResolvers<void>();
  const stored = Promise.withResolvers<string>();
  await sleep(100);
  const work = contents.during(async () => {
    stored.resolve(await put("of one in progress"));
    await kept.promise;
    throw new Error("fails");
  });
  const underWay = await stored.promise;
  await sleep(100);
  await contents.prune();
  assert.deepEqual(await Promise.all([served, lost, underWay].map(isThere)), [true, false, true]);
  assert.deepEqual(
    (await node.files.images()).filter((image) => image.startsWith("src")),
    [],
  );
  kept.resolve();
  await assert.rejects(work, /fails/);
  await sleep(100);
  await contents.prune();
  assert.deepEqual(await Promise.all([served, underWay].map(isThere)), [true, false]);
});

test("revisions that lack files are found, as after the restore of a backup without them", async () => {
  await contents.pruneInTime();
  assert.equal(contents.damaged, 0);
  const { digest } = (await contents.of(first.id)).tree[0] as { digest: string };
  const path = join(opened.home, "files/contents", digest.slice(0, 2), digest);
  await rename(path, `${path}.aside`);
  await contents.inspect();
  assert.ok(contents.damaged > 0);
  await assert.rejects(node.files.read(digest), { code: "not_found", message: /apps\/contents of the home/ });
  await rename(`${path}.aside`, path);
  await contents.inspect();
  assert.equal(contents.damaged, 0);
});

test("what builds keep is bounded for an organisation: what was not used for the longest time goes first", async () => {
  const { db } = opened;
  const caches = new BuildCaches({ db, node, mostBytes: 100, mostOfOrganisation: 150, log });
  const apps = [app.id, randomUUID(), randomUUID()];
  const now = Date.now();
  for (const [at, id] of apps.entries()) {
    const row = { slug: `cached-${at}`, labels: "{}", config: "{}", created_at: 1, updated_at: 1, deleted_at: null };
    if (at > 0)
      await db
        .insertInto("apps")
        .values({ id, org_id: app.org_id, ...row })
        .execute();
    const cache = { node_id: node.id, digest: `${at}`.repeat(64), bytes: 70, used_at: now - at };
    await db
      .insertInto("build_caches")
      .values({ app_id: id, ...cache })
      .execute();
  }
  await caches.shrink(app.org_id);
  assert.deepEqual((await caches.needed()).toSorted(), ["0".repeat(64), "1".repeat(64)]);
});
