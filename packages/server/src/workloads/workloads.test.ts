/** Ends of workloads: a real node, agents that are ordinary processes. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { configSchema } from "@caisson/protocol";
import { HostNode } from "@caisson/testing";
import { pino } from "pino";
import { machineMemory } from "./memory.ts";
import { Workloads } from "./workloads.ts";

test("what could not be given back is given back a little later", async (t) => {
  const home = await mkdtemp(join(tmpdir(), "caisson-workloads-"));
  t.after(() => rm(home, { recursive: true }));
  const layers = new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "blobs")));
  const workloads = new Workloads({
    node: new HostNode("no machine is started", layers),
    log: pino({ level: "silent" }),
  });
  const given = Promise.withResolvers<string>();
  let attempts = 0;
  workloads.register({
    name: "test",
    async release(id) {
      attempts++;
      if (attempts === 1) throw new Error("The disk is full.");
      given.resolve(id);
    },
  });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  await workloads.finish("bld_loc_one");
  assert.equal(attempts, 1);
  assert.notEqual(workloads.ending("bld_loc_one"), undefined);
  t.mock.timers.tick(5_000);
  assert.equal(await given.promise, "bld_loc_one");
  await workloads.ending("bld_loc_one");
  assert.equal(attempts, 2);
});

test("machines of the platform's own have as much memory as sandboxes may have", () => {
  const { sandbox } = configSchema.parse({ sandbox: { memoryMax: 2048 } });
  assert.deepEqual(
    [256, 1024, 3072].map((wanted) => machineMemory(wanted, sandbox)),
    [768, 1024, 2048],
  );
});
