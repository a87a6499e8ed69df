/**
 * Two servers on one PostgreSQL, each with a home and a node of its own: neither ends what the other runs, not even after both were
 * killed and started again. `CAISSON_TEST_SANDBOXES` says how many sandboxes each gets.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { holdings, startPlatform, startPostgres, until, type PlatformProcess } from "@caisson/testing";

const each = Number(process.env["CAISSON_TEST_SANDBOXES"] ?? 2);
const config = { pool: { size: 0 }, limits: { developmentConcurrentSandboxes: 64 } };
const nothing = { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] };

/** Official clients read their endpoint and token from the environment. */
function use(platform: PlatformProcess): void {
  Object.assign(process.env, platform.env);
}

test(
  `two servers on one database, ${each} sandboxes each, both restarted: none lost`,
  { timeout: 600_000 },
  async () => {
    const postgres = await startPostgres();
    const homes = [await mkdtemp(join(tmpdir(), "csn-")), await mkdtemp(join(tmpdir(), "csn-"))];
    const start = (home: string) => startPlatform({ home, config, env: { DATABASE_URL: postgres.url } });
    const running: PlatformProcess[] = [];
    try {
      for (const home of homes) running.push(await start(home));
      const ids: string[][] = [];
      for (const [index, server] of running.entries()) {
        use(server);
        const own: string[] = [];
        for (let made = 0; made < each; made++) {
          const sandbox = await Sandbox.create({ timeout: "20m", labels: { server: String(index) } });
          await sandbox.fs.writeTextFile("/home/app/mark", `${index}/${made}`);
          own.push(sandbox.id);
          await sandbox.close();
        }
        ids.push(own);
      }
      // Longer than a sweep, so that a server that would end the other's has had its chance.
      await new Promise((resolve) => setTimeout(resolve, 1500));
      for (const server of running.splice(0)) await server.crash();
      for (const home of homes) running.push(await start(home));
      for (const [index, server] of running.entries()) {
        use(server);
        for (const [made, id] of ids[index]!.entries()) {
          const sandbox = await Sandbox.connect(id);
          assert.equal(await sandbox.fs.readTextFile("/home/app/mark"), `${index}/${made}`);
          await sandbox.close();
        }
        const listed = await new Client().sandboxes.list();
        assert.equal(listed.filter(({ status }) => status === "running").length, 2 * each);
      }

      // A server says where a sandbox of the other node is, and can have it ended.
      use(running[0]!);
      const foreign = ids[1]![0]!;
      await assert.rejects(Sandbox.connect(foreign), { status: 503 });
      await new Client().sandboxes.list();
      const { DENO_DEPLOY_ENDPOINT: endpoint, DENO_DEPLOY_TOKEN: token } = running[0]!.env;
      const killed = await fetch(`${endpoint}/api/v3/sandbox/${foreign}`, {
        method: "DELETE",
        headers: { authorization: `Bearer ${token}` },
      });
      assert.equal(killed.status, 204);
      await until(5_000, "its end", async () => {
        const found = (await new Client().sandboxes.list()).find(({ id }) => id === foreign);
        return found?.status === "stopped" || undefined;
      });
    } finally {
      for (const server of running) await server.stop(30_000);
      await postgres.stop();
    }
    for (const home of homes) {
      assert.deepEqual(holdings(home), nothing);
      await rm(home, { recursive: true, force: true });
    }
  },
);
