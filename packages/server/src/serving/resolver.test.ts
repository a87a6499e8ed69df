/** Hostnames of apps, looked up in a real database. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { appsService, appsSlice } from "../apps/index.ts";
import { certificatesSlice } from "../certificates/index.ts";
import { domainsService, domainsSlice } from "../domains/index.ts";
import { revisionsService, revisionsSlice, type RevisionsService } from "../revisions/index.ts";
import { branchTimeline, previewOf } from "../revisions/timelines.ts";
import { openSlices, type TestSlices } from "../testing/slices.ts";
import { branchLabel, readLabel } from "./hosts.ts";
import { Resolver } from "./resolver.ts";

let opened: TestSlices;
let revisions: RevisionsService;
let resolver: Resolver;
const app = { id: randomUUID(), org_id: "" };
/** Lists of all branches that the database made. */
let lists = 0;
/** Apps that it looked for. */
let lookups = 0;

before(async () => {
  opened = await openSlices({
    database: "SQLite",
    slices: [certificatesSlice, appsSlice, revisionsSlice, domainsSlice],
  });
  const { db, services, org } = opened;
  revisions = services.use(revisionsService);
  app.org_id = org.id;
  await db
    .insertInto("apps")
    .values({ ...app, slug: "one", labels: "{}", config: "{}", created_at: 1, updated_at: 1, deleted_at: null })
    .execute();
  const { timelines } = revisions;
  const branches = timelines.branches.bind(timelines);
  timelines.branches = (id) => {
    lists++;
    return branches(id);
  };
  const apps = services.use(appsService);
  const counted = (...slugs: Parameters<typeof apps.bySlugs>) => {
    lookups++;
    return apps.bySlugs(...slugs);
  };
  resolver = new Resolver({ ...apps, bySlugs: counted }, revisions, services.use(domainsService));
});
after(() => opened.close());

const create = () =>
  revisions.create({
    app,
    config: {},
    layers: [],
    env: [],
    labels: {},
    production: false,
    preview: true,
    retention: "auto",
  });
const find = (branch: string) => {
  const label = branchLabel("one", opened.org.slug, branch);
  return resolver.find(label, readLabel(label));
};

test("a branch is found among more previews than a list has, and when it is new", { timeout: 60_000 }, async () => {
  const [first, second] = [await create(), await create()];
  await revisions.timelines.activate(first, branchTimeline("feature/Old"));
  assert.equal((await find("feature-old"))?.revision.id, first.id);
  const row = (await revisions.timelines.branches(app.id))[0]!;
  const preview = { ...row, ...previewOf(first.id), created_at: row.created_at + 1 };
  for (let i = 0; i < 1001; i += 77)
    await opened.db
      .insertInto("timelines" as never)
      .values(
        Array.from({ length: 77 }, (_, n) => ({
          ...preview,
          id: randomUUID(),
          key: `preview/${i + n}`,
          partition: "{}",
        })) as never,
      )
      .execute();
  resolver.forget();
  assert.equal((await find("feature-old"))?.revision.id, first.id);
  await revisions.timelines.activate(second, branchTimeline("feature.old"));
  await opened.db
    .updateTable("timelines" as never)
    .set({ created_at: row.created_at + 2 } as never)
    .where("key" as never, "=", "git-branch/feature.old" as never)
    .execute();
  resolver.forget();
  assert.equal((await find("feature-old"))?.revision.id, second.id);
});

test("names of branches that do not exist cost no list each", { timeout: 60_000 }, async () => {
  resolver.forget();
  lists = 0;
  const before = performance.now();
  for (let i = 0; i < 300; i++) assert.equal(await find(`nobodys-${i}`), undefined);
  // One for each second.
  assert.ok(lists <= 1 + (performance.now() - before) / 1000, String(lists));
});

test("names that nobody has take few lookups at a time, and keep no app from being found", async () => {
  assert.notEqual(await find("feature-old"), undefined);
  resolver.forget();
  lookups = 0;
  const made = Array.from({ length: 500 }, (_, i) => resolver.find(`x${i}.${i}.app`, readLabel(`x${i}.${i}.app`)));
  const real = find("feature-old");
  assert.ok(lookups <= 17, String(lookups));
  assert.deepEqual(new Set(await Promise.all(made)), new Set([undefined]));
  assert.notEqual(await real, undefined);
  assert.equal(await resolver.find("x.y.app", readLabel("x.y.app")), undefined);
  assert.ok(lookups > 17);
});
