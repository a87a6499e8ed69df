/** A machine is saved while its program runs, and others go on from there. */
import assert from "node:assert/strict";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import type { CheckpointInfo, SandboxNode } from "@caisson/protocol";
import { create, engine, sh, temporaryHome } from "./engine.ts";

let home: string;
let node: SandboxNode;
const tree = [{ kind: "directory", path: "sub" }] as const;
const images = [{ image: "app", serial: "app", path: "/app/src" }];

before(async () => {
  home = await temporaryHome();
  node = await engine(home);
  await node.start({ wanted: [] });
  await node.files.pack("app", tree);
});
after(async () => {
  await node.close("end");
  await rm(home, { recursive: true, force: true });
});

/** Saves a machine in which a program counts in its memory, and answers over a FIFO. */
async function saved(id: string): Promise<CheckpointInfo & { readonly pid: number; readonly output: bigint }> {
  const machine = await create(node, { id: `seed-of-${id}`, memory: 768, images, checkpoint: { id, use: "save" } });
  const counter = "mkfifo /tmp/ask; n=0; echo started; while read -r _ < /tmp/ask; do n=$((n+1)); echo $n; done";
  const { pid, stdoutStream } = await machine.agent.processes.spawn({
    command: "bash",
    args: ["-c", counter],
    stdout: true,
  });
  await sh(machine, "until test -p /tmp/ask; do sleep 0.1; done; echo kept > /home/app/file; sync");
  const info = await node.checkpoints.save(`seed-of-${id}`, "a note");
  return { ...info, pid, output: stdoutStream };
}

test(
  "programs, memory and disk go on, as often as wanted, and each machine is one of its own",
  { timeout: 240_000 },
  async () => {
    const { pid, output, ...info } = await saved("first");
    assert.equal(info.note, "a note");
    assert.deepEqual(await node.machines.list(), []);
    const seen = new Set<string>();
    for (const id of ["one", "two"]) {
      const machine = await create(node, { id, memory: 768, images, checkpoint: { id: "first", use: "resume" } });
      assert.equal(await sh(machine, "cat /home/app/file; ls /app/src; hostname"), `kept\nsub\n${id}`);
      await sh(machine, `echo ${id} > /home/app/file; echo ask > /tmp/ask; sleep 0.3; kill ${pid}`);
      // What it had printed before it was saved is there as well.
      assert.equal(await text(machine.agent.readStream(output)), "started\n1\n");
      seen.add(await sh(machine, "cat /etc/machine-id /proc/sys/kernel/random/boot_id; od -An -tx1 -N16 /dev/urandom"));
      const skew = Math.abs(Number(await sh(machine, "date +%s")) - Date.now() / 1000);
      assert.ok(skew < 60, `its clock is ${skew} s off`);
    }
    assert.equal(seen.size, 2);
    assert.deepEqual((await node.status()).started, { pool: 0, prepared: 0, restore: 1, checkpoint: 2 });
    await Promise.all(["one", "two"].map((id) => node.machines.stop(id)));
    await node.checkpoints.remove("first");
    assert.equal(await node.checkpoints.find("first"), undefined);
    assert.deepEqual(await readdir(join(home, "checkpoints")), []);
    await assert.rejects(
      create(node, { id: "late", memory: 768, images, checkpoint: { id: "first", use: "resume" } }),
      { code: "not_found" },
    );
    assert.deepEqual(await readdir(join(home, "run")), []);
  },
);
