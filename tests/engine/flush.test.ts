/** What the end of a machine says about data that its guest still holds in memory. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "@caisson/testing";
import { create, sh, withEngine } from "./engine.ts";

test("an end says whether the volumes are written, and waits no longer than configured", { timeout: 120_000 }, () =>
  withEngine({ config: { sandbox: { flushTimeout: 1 } } }, async (node, home) => {
    await node.layers.format("kept", 2 ** 30);
    await node.layers.format("read", 2 ** 30);
    const volumes = [
      { layers: ["kept"], readOnly: false, serial: "kept", path: "/kept" },
      { layers: ["read"], readOnly: true, serial: "read", path: "/read" },
    ] as const;
    const well = await create(node, { volumes });
    await sh(well, "sudo sh -c 'echo data > /kept/file'");
    const fine = await node.machines.stop(well.id);
    assert.deepEqual([fine.reason, fine.unwritten], ["stopped", undefined]);

    const hanging = await create(node, { volumes });
    await sh(hanging, "sudo sh -c 'echo more > /kept/file'");
    const [key = ""] = await readdir(join(home, "run"));
    const record = await readFile(join(home, "run", key, "machine.json"), "utf8");
    // The whole machine hangs, as one of a host that is out of processor time or disk.
    process.kill((JSON.parse(record) as { process: { pid: number } }).process.pid, "SIGSTOP");
    const began = performance.now();
    const stopping = node.machines.stop(hanging.id);
    const marked = async () =>
      (JSON.parse(await readFile(join(home, "run", key, "machine.json"), "utf8")) as { ending?: true }).ending;
    // A server that dies now must not take the machine for one that goes on.
    await until(800, "the record of its end", marked);
    const exit = await stopping;
    const took = performance.now() - began;
    assert.deepEqual([exit.reason, exit.unwritten], ["stopped", ["kept"]]);
    assert.ok(took > 900 && took < 20_000, `the end took ${took} ms`);

    // Without a volume there is nothing to wait for, and nothing to lose.
    assert.equal((await node.machines.stop((await create(node)).id)).unwritten, undefined);
  }),
);
