/** Terminals and what is slow to try: a server that is killed, a viewer that does not read. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { Api } from "./viewer.ts";

/** Milliseconds. */
const limit = 600_000;
const config = { pool: { size: 0 }, logLevel: "warn" };
const api = ({ env }: PlatformProcess, id: string) => new Api(env.DENO_DEPLOY_ENDPOINT, env.DENO_DEPLOY_TOKEN, id);
const runs = async (sandbox: Sandbox, pid: string) =>
  (await sandbox.sh`if kill -0 ${pid} 2>/dev/null; then echo runs; else echo over; fi`.text()) === "runs\n";

for (const way of ["crash", "leave"] as const)
  test(
    `terminals end with the server, detached programs and the sandbox do not: ${way}`,
    { timeout: limit },
    async () => {
      const home = await mkdtemp(join(tmpdir(), "csn-"));
      let platform = await startPlatform({ home, config });
      try {
        Object.assign(process.env, platform.env);
        const sandbox = await Sandbox.create({ timeout: "20m" });
        const { id } = await api(platform, sandbox.id).open({ env: { PS1: "$ " }, args: ["--norc"] });
        const viewer = await api(platform, sandbox.id).attach(id);
        viewer.type("detach sleep 7001; sleep 7002 & echo shell=$$, kept=$(pgrep -xf 'sleep 7001'), job=$!.\n");
        const [, shell, kept, job] = (await viewer.sees(/shell=(\d+), kept=(\d+), job=(\d+)\./)).match(
          /shell=(\d+), kept=(\d+), job=(\d+)\./,
        )!;
        await platform[way]();
        const { code } = await viewer.closed;
        assert.equal(code, way === "crash" ? 1006 : 1001);

        platform = await startPlatform({ home, config });
        Object.assign(process.env, platform.env);
        const again = await Sandbox.connect(sandbox.id);
        await assert.rejects(api(platform, sandbox.id).attach(id), /404/);
        assert.deepEqual(await api(platform, sandbox.id).list(), []);
        for (const pid of [shell!, job!])
          await until(limit, `the end of ${pid}`, async () => !(await runs(again, pid)) || undefined);
        assert.ok(await runs(again, kept!), "what was detached goes on");
        const next = await api(platform, sandbox.id).open({ env: { PS1: "$ " }, args: ["--norc"] });
        const other = await api(platform, sandbox.id).attach(next.id);
        other.type("echo new-$((1 + 1))\n");
        await other.sees("new-2");
        await again.kill();
        assert.equal((await other.closed).code, 1001);
      } finally {
        await platform.stop(60_000);
        await rm(home, { recursive: true, force: true });
      }
    },
  );

test("a viewer that does not read is disconnected; the others and the program go on", { timeout: limit }, async () => {
  const platform = await startPlatform({ config });
  try {
    Object.assign(process.env, platform.env);
    await using sandbox = await Sandbox.create();
    const its = api(platform, sandbox.id);
    const { id } = await its.open({ command: "/bin/sh", args: ["-c", "read go; while :; do seq 1 100000; done"] });
    const [quick, slow] = [await its.attach(id), await its.attach(id)];
    slow.socket.pause();
    quick.type("go\n");
    await until(limit, "the slow viewer's end", async () => ((await its.find(id))?.viewers === 1 ? true : undefined));
    const seen = quick.output.length;
    await until(limit, "more output", async () => quick.output.length > seen + 100_000 || undefined);
    slow.socket.resume();
    await slow.closed;
    await its.close(id);
  } finally {
    await platform.stop(60_000);
  }
});
