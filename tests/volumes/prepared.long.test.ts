/** Machines that are prepared on a snapshot before a sandbox asks for one: as good as any other, and they hold up nothing. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { Client, Sandbox, type SandboxOptions } from "@deno/sandbox";
import { holdings, startPlatform, until, type PlatformProcess } from "@caisson/testing";

const config = { pool: { size: 1, standing: 1, minFreeMemory: 256 }, logLevel: "warn" };
const home = await mkdtemp(join(tmpdir(), "csn-"));
let platform: PlatformProcess;
let image: string;
let other: string;
after(async () => {
  await platform?.stop();
  await rm(home, { recursive: true, force: true });
});

async function start(options: Record<string, unknown> = config): Promise<void> {
  platform = await startPlatform({ home, config: options });
  Object.assign(process.env, platform.env);
}

async function health(): Promise<{ machines: number; pooled: number; standing: number }> {
  const answer = await fetch(`${process.env["DENO_DEPLOY_ENDPOINT"]}/healthz`);
  return (await answer.json()) as { machines: number; pooled: number; standing: number };
}

const prepared = async () => (await health()).standing;

/** The log of the platform says why a machine could not be prepared. */
const isPrepared = () =>
  until(60_000, "a machine on the snapshot", async () => (await prepared()) === 1, 100).catch((error: unknown) => {
    console.log(platform.output().slice(-4000));
    throw error;
  });

/** Whether the last sandbox got the prepared machine. Then there is none for a while. */
const taken = { last: false };

/** Output of a script in a new sandbox. */
async function within(options: SandboxOptions, script: string): Promise<string> {
  await using sandbox = await Sandbox.create(options);
  taken.last = (await prepared()) === 0;
  return (await sandbox.sh`bash -c ${script}`.text()).trim();
}

/** The process that holds a machine's namespaces, for each machine. */
const machines = () =>
  holdings(home).processes.flatMap((line) => (/^\d+ bwrap /.test(line) ? [Number.parseInt(line, 10)] : []));

/** Throw-away layers in the database, and who has leases of them. */
function lent(): { leases: unknown[]; layers: unknown[] } {
  const store = new DatabaseSync(join(home, "caisson.db"), { readOnly: true });
  try {
    return {
      leases: store.prepare("select sandbox from disk_leases where volume is null").all(),
      layers: store.prepare("select id from layers where kind = 'ephemeral'").all(),
    };
  } finally {
    store.close();
  }
}

/** A snapshot whose root has one file more than the default. */
async function save(name: string): Promise<string> {
  const client = new Client();
  const volume = await client.volumes.create({
    slug: `${name}-volume`,
    region: "ord",
    capacity: "500MB",
    from: "builtin:debian-13",
  });
  await within({ root: volume.id }, `sudo sh -c 'echo ${name} > /opt/name'`);
  const { id } = await client.volumes.snapshot(volume.id, { slug: name });
  return id;
}

before(async () => {
  await start();
  [image, other] = [await save("first"), await save("second")];
});

test(
  "a prepared machine that is handed out has the content, identity, time, authority, environment and memory of its owner",
  { timeout: 180_000 },
  async () => {
    const questions = [
      "cat /opt/name",
      "ls /opt /tmp | wc -l",
      "echo $OWNER",
      "hostname",
      "cat /etc/hostname",
      "cat /etc/machine-id",
      "cat /proc/sys/kernel/random/boot_id",
      "head -c 16 /dev/urandom | od -An -tx1 | tr -d ' '",
      "cat /usr/local/share/ca-certificates/caisson.crt | sha256sum",
      "date +%s",
      "free -m | awk '/^Mem:/ { print $2 }'",
      "sudo touch /opt/mine; echo end",
    ].join("; ");
    const answers: string[][] = [];
    await within({ root: image }, "true");
    for (const memory of [1280, 1536]) {
      await isPrepared();
      const answer = await within(
        { root: image, env: { OWNER: `owner of ${memory}` }, memory: `${memory}MiB` },
        questions,
      );
      assert.ok(taken.last, "it was not the prepared machine");
      answers.push(answer.split("\n"));
      const [name, files, owner, hostname, hostnameFile, , , , , seconds, total] = answers.at(-1)!;
      assert.deepEqual([name, files, owner], ["first", "4", `owner of ${memory}`], answer);
      assert.equal(hostname, hostnameFile);
      assert.ok(Math.abs(Number(seconds) - Date.now() / 1000) < 3, answer);
      assert.ok(Number(total) > memory * 0.9 && Number(total) <= memory, `${memory}: ${total}`);
    }
    for (const index of [3, 5, 6, 7, 8]) assert.notEqual(answers[0]![index], answers[1]![index], `line ${index}`);
  },
);

test(
  "a machine is prepared on the snapshot that was last used, and a smaller sandbox does not get it",
  { timeout: 120_000 },
  async () => {
    await isPrepared();
    assert.equal(await within({ root: other }, "cat /opt/name"), "second");
    await isPrepared();
    assert.equal(await within({ root: other, memory: "768MiB" }, "cat /opt/name"), "second");
    assert.ok(!taken.last);
    assert.equal(await within({ root: other }, "cat /opt/name"), "second");
    assert.ok(taken.last);
  },
);

test(
  "a volume that does not exist, and a prepared machine that crashed, do not make later sandboxes fail",
  { timeout: 120_000 },
  async () => {
    await isPrepared();
    await assert.rejects(Sandbox.create({ root: other, volumes: { "/data": "vol_ord_missing" } }), { status: 404 });
    assert.equal(await prepared(), 1);
    const data = await new Client().volumes.create({ slug: "data", region: "ord", capacity: "300MB" });
    assert.equal(
      await within({ root: other, volumes: { "/data": data.id } }, "cat /opt/name; findmnt -no FSTYPE /data"),
      "second\next4",
    );
    await isPrepared();
    // No machine of this platform has an owner now.
    await until(
      60_000,
      "nothing but machines that wait",
      async () => {
        const { machines: owned, pooled, standing: standingNow } = await health();
        return owned === 0 && machines().length === pooled + standingNow;
      },
      100,
    );
    for (const pid of machines()) process.kill(pid, "SIGKILL");
    assert.equal(await within({ root: other }, "cat /opt/name"), "second");
    await isPrepared();
  },
);

test(
  "its snapshot can be deleted, also by another server, and the machine ends with it",
  { timeout: 180_000 },
  async () => {
    await isPrepared();
    assert.equal(lent().leases.length, 1);
    await new Client().snapshots.delete(other);
    assert.equal(await prepared(), 0);
    assert.deepEqual(lent(), { leases: [], layers: [] });
    await assert.rejects(Sandbox.create({ root: other }), { status: 404 });
    assert.equal(await prepared(), 0);

    const third = await save("third");
    assert.equal(await within({ root: third }, "cat /opt/name"), "third");
    await isPrepared();
    // What a server on another node does to the shared database.
    const store = new DatabaseSync(join(home, "caisson.db"));
    store.exec("delete from volume_slugs where slug = 'third'; delete from snapshots where slug = 'third'");
    store.close();
    await until(15_000, "the end of its lease", async () => lent().leases.length === 0, 100);
    assert.deepEqual(lent(), { leases: [], layers: [] });
    assert.equal(await prepared(), 0);
  },
);

test("a crash leaves no prepared machine and no lease; 0 turns preparing off", { timeout: 120_000 }, async () => {
  assert.equal(await within({ root: image }, "cat /opt/name"), "first");
  await isPrepared();
  await platform.crash();
  assert.equal(lent().leases.length, 1);
  await start({ ...config, pool: { ...config.pool, standing: 0 } });
  assert.deepEqual(lent(), { leases: [], layers: [] });
  assert.equal(await within({ root: image }, "cat /opt/name"), "first");
  await until(60_000, "a full pool", async () => machines().length === 1, 100);
  assert.equal(await prepared(), 0);
  await platform.stop();
  assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
  const check = [join(import.meta.dirname, "../../packages/platform/src/volumes.ts"), "check"];
  assert.match(
    execFileSync(process.execPath, check, { env: { ...process.env, CAISSON_HOME: home }, encoding: "utf8" }),
    /: 0 faults/,
  );
});
