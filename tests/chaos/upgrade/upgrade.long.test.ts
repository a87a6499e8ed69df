/** An upgrade with sandboxes at work: the server is killed, and a newer version with another agent starts on the same home. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { until } from "@caisson/testing";
import { Random } from "../random.ts";
import { Resident } from "../sabotage/resident.ts";
import { countPath, upstreamKey } from "../traffic/messages.ts";
import { fetchScript, reachedUpstream } from "../traffic/operations.ts";
import { judge } from "../validators/index.ts";
import { observe } from "../world/observe.ts";
import { observeDeep } from "../world/observe-deep.ts";
import { databasePath } from "../world/store.ts";
import { repository } from "../world/server.ts";
import { World } from "../world/world.ts";
import { newerCheckout, newTable, ownCache, setUp } from "./checkout.ts";

const sandboxes = Array.from({ length: 10 }, (_, index) => `s-${index}`);

test("an upgrade by kill -9 and a newer checkout loses no sandbox", { timeout: 600_000 }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "caisson-upgrade-"));
  after(() => rm(directory, { recursive: true, force: true }));
  const [newer, cache] = [join(directory, "newer"), join(directory, "cache")];
  await Promise.all([newerCheckout(newer), ownCache(cache)]);
  await setUp(repository, cache);
  const world = await World.create({
    folder: join(directory, "run"),
    clients: [],
    environment: { CAISSON_CACHE: cache },
  });
  after(() => world.close());
  const resident = new Resident(world);
  for (const sandbox of sandboxes) {
    await resident.call({ op: "create", sandbox, session: false, volumes: [] });
    await resident.call({ op: "count", sandbox });
  }
  await resident.call({ op: "fetch", sandbox: "s-0" });
  // Building the newer agent takes a while; the sandboxes go on meanwhile, as in an upgrade.
  await setUp(newer, cache);

  const ids = sandboxes.map((label) => world.history.model.sandboxes.get(label)!.id!);
  const counted = await Promise.all(ids.map((id) => readCounter(id)));
  const killed = performance.now();
  await world.killServer();
  world.server.repository = newer;
  world.server.spawn();
  const outages = await Promise.all(ids.map((id) => outage(id, killed)));
  await world.server.ready(60_000);
  const connects = await Promise.all(ids.map(connectTime));

  const database = new DatabaseSync(databasePath(world.home), { readOnly: true });
  assert.ok(database.prepare("SELECT 1 FROM sqlite_master WHERE name = ?").get(newTable), "the migration did not run");
  database.close();
  for (const [index, id] of ids.entries()) {
    await readCounter(id, counted[index]);
  }
  world.upstream.requests.length = 0;
  for (const id of ids) {
    const sandbox = await Sandbox.connect(id);
    const text = await sandbox.sh`sh -c ${fetchScript}`.text();
    assert.equal(text.trim(), reachedUpstream);
    await sandbox.close();
  }
  const keys = world.upstream.requests.map(({ headers }) => headers.authorization);
  assert.deepEqual(
    keys,
    ids.map(() => `Bearer ${upstreamKey}`),
  );
  const { model } = world.history;
  let observation = await observe(world);
  await until(30_000, "an installation without problems", async () => {
    observation = await observe(world);
    return judge(observation, model).length === 0;
  });
  assert.deepEqual(
    judge({ ...observation, deep: await observeDeep(world, observation, new Random("upgrade")) }, model),
    [],
  );
  t.diagnostic(
    `from the kill to a connection: ${quantile(outages, 0.5)} ms at the median, ${quantile(outages, 1)} ms at most`,
  );
  t.diagnostic(
    `connecting again afterwards: ${quantile(connects, 0.5)} ms at the median, ${quantile(connects, 1)} ms at most`,
  );
});

/** @param above the number that the counter must have passed */
async function readCounter(id: string, above = 0): Promise<number> {
  const sandbox = await Sandbox.connect(id);
  const number = await until(60_000, `the counter of ${id} above ${above}`, async () => {
    // The file is empty for a moment while it is written, and ten guests at once need a while to begin.
    const count = Number(await sandbox.fs.readTextFile(countPath).catch(() => ""));
    return count > above && count;
  });
  await sandbox.close();
  return number;
}

/** Milliseconds from the kill until a client that tries again and again is connected. */
async function outage(id: string, since: number): Promise<number> {
  const sandbox = await until(180_000, `a connection to ${id}`, () => connect(id), 50);
  const took = performance.now() - since;
  await sandbox.close();
  return took;
}

/** The client prints each refused connection, so it is asked only when somebody answers. */
async function connect(id: string): Promise<Sandbox | undefined> {
  const answer = await fetch(`${process.env["DENO_SANDBOX_ENDPOINT"]}/healthz`).catch(() => undefined);
  return answer?.ok === true ? Sandbox.connect(id).catch(() => undefined) : undefined;
}

async function connectTime(id: string): Promise<number> {
  const start = performance.now();
  const sandbox = await Sandbox.connect(id);
  const took = performance.now() - start;
  await sandbox.close();
  return took;
}

function quantile(samples: readonly number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0);
}
