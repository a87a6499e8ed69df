/** What holds whatever was missed: a session without its client ends, and rows and machines agree in the end. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { configSchema } from "@caisson/protocol";
import { buildAgent, HostNode, until } from "@caisson/testing";
import { pino } from "pino";
import { openDatabase, type AnyDatabase } from "../kernel/database/open.ts";
import type { Org } from "../kernel/http/context.ts";
import { createSealer } from "../kernel/sealing.ts";
import { Nodes } from "../nodes/nodes.ts";
import { Tokens } from "../orgs/tokens.ts";
import { SecretStore } from "../secrets/store.ts";
import { migrations } from "../slices.ts";
import { Workloads } from "../workloads/workloads.ts";
import { checkCreateConfig } from "./create-request.ts";
import { Sandboxes } from "./sandboxes.ts";
import { SandboxStore } from "./store.ts";

const log = pino({ level: "silent" });
const config = configSchema.parse({ sandbox: { sessionGrace: 1 } });
let home: string;
let node: HostNode;
let db: AnyDatabase;
let org: Org;
let store: SandboxStore;
let sandboxes: Sandboxes;

before(async () => {
  home = await mkdtemp(join(tmpdir(), "caisson-sandboxes-"));
  node = new HostNode(buildAgent(home), new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "blobs"))));
  db = await openDatabase({ home, migrations, log });
  org = await new Tokens(db).createOrg("first");
  store = new SandboxStore(db, { nodeId: node.id, lockRows: false });
  const nodes = new Nodes({ db, id: node.id, region: "ord" });
  const workloads = new Workloads({ node, log });
  const secrets = new SecretStore(db, createSealer(randomBytes(32)));
  // No sandbox here has a root of its own.
  const volumes = { writableBytes: async () => config.sandbox.diskBytes };
  sandboxes = new Sandboxes({ config, nodes, workloads, secrets, volumes, store, log });
  workloads.own("sandbox", sandboxes);
});

after(async () => {
  await sandboxes.close("end");
  await db.destroy();
  await node.close();
  await rm(home, { recursive: true });
});

const create = (request: Record<string, unknown>) =>
  sandboxes.create(org, checkCreateConfig(request, config, Date.now()));
const stopped = (id: string, reason: string) =>
  until(5000, "the record of the end", async () => {
    const row = await store.get(id);
    return (row?.phase === "stopped" && row.reason === reason) || undefined;
  });
const machines = async () => (await node.machines.list()).map(({ id }) => id);

test("a session whose client is not there ends after the grace, whatever became of its connection", async () => {
  const [unattended, attended] = [await create({}), await create({})];
  const connection = { close: () => {} };
  attended.connections.add(connection);
  attended.attend(connection);
  const duration = await create({ stop_at_ms: Date.now() + 60_000 });
  for (const end = performance.now() + 1500; performance.now() < end; await sleep(100))
    await sandboxes.sweeps.endOverdue();
  await stopped(unattended.id, "session ended");
  assert.deepEqual((await machines()).toSorted(), [attended.id, duration.id].toSorted());
  // Nobody reports that the connection is gone.
  attended.connections.delete(connection);
  for (const end = performance.now() + 1500; performance.now() < end; await sleep(100))
    await sandboxes.sweeps.endOverdue();
  await stopped(attended.id, "session ended");
  await sandboxes.kill(org.id, duration.id);
  assert.deepEqual(await machines(), []);
});

test("a row without a machine is ended, a machine whose row has ended as well, and nothing else", async () => {
  const kept = await create({ stop_at_ms: Date.now() + 60_000 });
  const lostRow = await create({ stop_at_ms: Date.now() + 60_000 });
  const row = (await store.get(kept.id))!;
  const lostMachine = { ...row, id: "sbx_ord_00000000000000000000" };
  const elsewhere = { ...row, id: "sbx_ord_00000000000000000001", node_id: "nother" };
  for (const each of [lostMachine, elsewhere]) await store.insert(each, { sandboxes: 100, writableBytes: 1e15 });
  await db.updateTable("sandboxes").set({ phase: "stopped" }).where("id", "=", lostRow.id).execute();
  // One that is being created meanwhile has a row and no machine yet.
  const creating = create({ stop_at_ms: Date.now() + 60_000 });
  await sandboxes.sweeps.reconcile();
  const created = await creating;
  await stopped(lostMachine.id, "its machine was lost");
  await until(5000, "the end of the machine", async () => !(await machines()).includes(lostRow.id) || undefined);
  assert.deepEqual((await machines()).toSorted(), [kept.id, created.id].toSorted());
  assert.equal((await store.get(elsewhere.id))?.phase, "running");
  assert.equal((await store.get(created.id))?.phase, "running");
});

test("an organisation can end its own sandboxes alone", async () => {
  const sandbox = await create({ stop_at_ms: Date.now() + 60_000 });
  await assert.rejects(sandboxes.kill("another", sandbox.id), { code: "not_found" });
  assert.ok((await machines()).includes(sandbox.id));
  await sandboxes.kill(org.id, sandbox.id);
  await assert.rejects(sandboxes.kill("another", sandbox.id), { code: "not_found" });
  await sandboxes.kill(org.id, sandbox.id);
});
