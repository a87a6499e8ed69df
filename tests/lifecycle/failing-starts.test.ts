/**
 * A sandbox with a duration outlives whatever happens to servers: one that is killed, those that fail to start for one reason after
 * another, and one that is stopped for an upgrade. Only SIGTERM ends it.
 */
import assert from "node:assert/strict";
import { copyFile, mkdtemp, readdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { holdings, processesNaming, startPlatform, within, type PlatformOptions } from "@caisson/testing";

const config = { pool: { size: 0 }, logLevel: "warn" };
const realCache =
  process.env["CAISSON_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "caisson");

interface Failure {
  /** Makes it fail. */
  readonly prepare: (
    home: string,
    scratch: string,
  ) => Promise<Pick<PlatformOptions, "env"> & { undo?: () => Promise<unknown> }>;
  readonly says: RegExp;
}

const failures: Record<string, Failure> = {
  "the API's port is taken": {
    prepare: async () => {
      const { server, port } = await occupied();
      return { env: { CAISSON_PORT: port }, undo: () => closed(server) };
    },
    says: /Cannot listen on 127\.0\.0\.1 port \d+.*set CAISSON_PORT/,
  },
  "the gateway's port is taken": {
    prepare: async () => {
      const { server, port } = await occupied();
      return { env: { CAISSON_HTTPS_PORT: port }, undo: () => closed(server) };
    },
    says: /gateway cannot listen on 127\.0\.0\.1 port \d+.*set CAISSON_HTTPS_PORT/,
  },
  "the configuration has an unknown key": {
    prepare: async (home) => {
      await writeFile(join(home, "config.json"), JSON.stringify({ ...config, unknown: 1 }));
      return { undo: () => writeFile(join(home, "config.json"), JSON.stringify(config)) };
    },
    says: /unknown/,
  },
  "the key is empty": {
    prepare: async (home, scratch) => {
      await copyFile(join(home, "secret.key"), join(scratch, "secret.key"));
      await truncate(join(home, "secret.key"));
      return { undo: () => copyFile(join(scratch, "secret.key"), join(home, "secret.key")) };
    },
    says: /secret\.key is empty.*Restore the file from your backup/,
  },
  "the key is missing": {
    prepare: async (home, scratch) => {
      await rename(join(home, "secret.key"), join(scratch, "secret.key"));
      return { undo: () => rename(join(scratch, "secret.key"), join(home, "secret.key")) };
    },
    says: /secret\.key does not exist, but the database has rows/,
  },
  "the database is not one": {
    prepare: async (home, scratch) => {
      const names = ["caisson.db", "caisson.db-wal", "caisson.db-shm"];
      for (const name of names) await rename(join(home, name), join(scratch, name)).catch(() => undefined);
      await writeFile(join(home, "caisson.db"), "not a database".repeat(1000));
      return {
        undo: async () => {
          for (const name of names) await rm(join(home, name), { force: true });
          for (const name of names) await rename(join(scratch, name), join(home, name)).catch(() => undefined);
        },
      };
    },
    says: /The database could not be opened/,
  },
  "the image is not built": {
    prepare: async (_, scratch) => ({ env: { CAISSON_CACHE: join(scratch, "empty") } }),
    says: /base image of this version is not built.*node scripts\/setup\.mjs --for start/,
  },
};

test("a sandbox outlives failed starts and an upgrade, and SIGTERM ends it", { timeout: 240_000 }, async (context) => {
  const home = await mkdtemp(join(tmpdir(), "csn-"));
  after(() => rm(home, { recursive: true, force: true }));
  const first = await startPlatform({ home, config });
  Object.assign(process.env, first.env);
  await new Client().volumes.create({ slug: "data", region: "ord", capacity: "300MB" });
  const keeper = await Sandbox.create({ timeout: "15m", volumes: { "/data": "data" } });
  const session = await Sandbox.create({ timeout: "session" });
  keeper.closed.catch(() => undefined);
  await keeper.fs.writeTextFile("/home/app/kept", "before");
  const machines = () => processesNaming(home).filter(({ command }) => command.includes("qemu-system"));
  // SIGUSR2: sessions end with their client's connection, and the rest goes on.
  const left = await first.leave();
  assert.equal(left.code, 0, first.output());
  await within(10_000, "the session's connection", session.closed);
  const [machine, ...others] = machines();
  assert.ok(machine !== undefined && others.length === 0, "one machine runs on");

  for (const [name, { prepare, says }] of Object.entries(failures)) {
    await context.test(name, async () => {
      const scratch = await mkdtemp(join(tmpdir(), "csn-scratch-"));
      const { env = {}, undo } = await prepare(home, scratch);
      try {
        await assert.rejects(startPlatform({ home, env, readyWithin: 60_000 }), (error: Error) => {
          assert.match(error.message, /ended before it was ready/);
          assert.match(error.message, says);
          return true;
        });
      } finally {
        await undo?.();
        await rm(scratch, { recursive: true });
      }
      assert.deepEqual(
        machines().map(({ pid }) => pid),
        [machine.pid],
      );
      const database = new DatabaseSync(join(home, "caisson.db"), { readOnly: true });
      const row = database.prepare("select phase, reason from sandboxes where id = ?").get(keeper.id);
      database.close();
      assert.deepEqual({ ...row }, { phase: "running", reason: null });
    });
  }

  await context.test("templates cannot be made: it is served, and creations are refused", async () => {
    const scratch = await mkdtemp(join(tmpdir(), "csn-scratch-"));
    await symlink(join(realCache, "images"), join(scratch, "images"));
    await writeFile(join(scratch, "templates"), "");
    const server = await startPlatform({ home, env: { CAISSON_CACHE: scratch } });
    Object.assign(process.env, server.env);
    const connected = await Sandbox.connect(keeper.id);
    assert.equal(await connected.fs.readTextFile("/home/app/kept"), "before");
    connected.closed.catch(() => undefined);
    await assert.rejects(Sandbox.create(), { status: 500 });
    assert.match(server.output(), /its template cannot be built/);
    await server.leave();
    await rm(scratch, { recursive: true });
  });

  await context.test("its record is of a newer version", async () => {
    const [key = ""] = await readdir(join(home, "run"));
    const path = join(home, "run", key, "machine.json");
    const record = await readFile(path, "utf8");
    await writeFile(path, JSON.stringify({ ...(JSON.parse(record) as object), version: 2 }));
    const older = await startPlatform({ home });
    Object.assign(process.env, older.env);
    assert.match(older.output(), new RegExp(`"machine":"${keeper.id}".*of a newer version of Caisson is left running`));
    await assert.rejects(Sandbox.connect(keeper.id), /newer version of the server/);
    // Its machine writes to the volume, so nobody else gets it.
    await assert.rejects(Sandbox.create({ volumes: { "/data": "data" } }), { status: 409, code: "VOLUME_ATTACHED" });
    await older.leave();
    await writeFile(path, record);
  });

  const last = await startPlatform({ home });
  Object.assign(process.env, last.env);
  const again = await Sandbox.connect(keeper.id);
  assert.equal(await again.fs.readTextFile("/home/app/kept"), "before");
  again.closed.catch(() => undefined);
  await last.stop();
  assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
});

async function occupied(): Promise<{ server: Server; port: string }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: String((server.address() as { port: number }).port) };
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
