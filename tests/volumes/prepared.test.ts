/** Machines that stand on a snapshot before anybody asks: as good as any other, and in nobody's way. */
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

const standing = async () => (await health()).standing;

/** The platform says why it has given up on one. */
const stands = () =>
  until(60_000, "a machine on the snapshot", async () => (await standing()) === 1, 100).catch((error: unknown) => {
    console.log(platform.output().slice(-4000));
    throw error;
  });

/** Whether the last sandbox was given the machine that stood there: afterwards none does for a while. */
const taken = { last: false };

/** Output of a script in a new sandbox. */
async function within(options: SandboxOptions, script: string): Promise<string> {
  await using sandbox = await Sandbox.create(options);
  taken.last = (await standing()) === 0;
  return (await sandbox.sh`bash -c ${script}`.text()).trim();
}

/** The process that holds a machine's namespaces, for each machine. */
const machines = () =>
  holdings(home).processes.flatMap((line) => (/^\d+ bwrap /.test(line) ? [Number.parseInt(line, 10)] : []));

/** What the store says of layers that go with a machine, and of who has them. */
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
  "handed out, it is its owner's alone: content, identity, time, authority, environment, memory",
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
      await stands();
      const answer = await within(
        { root: image, env: { OWNER: `owner of ${memory}` }, memory: `${memory}MiB` },
        questions,
      );
      assert.ok(taken.last, "it was not the machine that stood there");
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
  "it stands on the snapshot that was last used, and a smaller sandbox does without it",
  { timeout: 120_000 },
  async () => {
    await stands();
    assert.equal(await within({ root: other }, "cat /opt/name"), "second");
    await stands();
    assert.equal(await within({ root: other, memory: "768MiB" }, "cat /opt/name"), "second");
    assert.ok(!taken.last);
    assert.equal(await within({ root: other }, "cat /opt/name"), "second");
    assert.ok(taken.last);
  },
);

test("a volume that is missing, and a machine that has died, cost nobody a sandbox", { timeout: 120_000 }, async () => {
  await stands();
  await assert.rejects(Sandbox.create({ root: other, volumes: { "/data": "vol_ord_missing" } }), { status: 404 });
  assert.equal(await standing(), 1);
  const data = await new Client().volumes.create({ slug: "data", region: "ord", capacity: "300MB" });
  assert.equal(
    await within({ root: other, volumes: { "/data": data.id } }, "cat /opt/name; findmnt -no FSTYPE /data"),
    "second\next4",
  );
  await stands();
  // Every machine of this platform waits for an owner now.
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
  await stands();
});

test("it does not keep its snapshot from being deleted, and goes with it", { timeout: 120_000 }, async () => {
  await stands();
  assert.equal(lent().leases.length, 1);
  await new Client().snapshots.delete(other);
  assert.equal(await standing(), 0);
  assert.deepEqual(lent(), { leases: [], layers: [] });
  await assert.rejects(Sandbox.create({ root: other }), { status: 404 });
  assert.equal(await standing(), 0);
});

test("a crash leaves neither machine nor lease; 0 turns it off", { timeout: 120_000 }, async () => {
  assert.equal(await within({ root: image }, "cat /opt/name"), "first");
  await stands();
  await platform.crash();
  assert.equal(lent().leases.length, 1);
  await start({ ...config, pool: { ...config.pool, standing: 0 } });
  assert.deepEqual(lent(), { leases: [], layers: [] });
  assert.equal(await within({ root: image }, "cat /opt/name"), "first");
  await until(60_000, "a full pool", async () => machines().length === 1, 100);
  assert.equal(await standing(), 0);
  await platform.stop();
  assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
  const check = [join(import.meta.dirname, "../../packages/platform/src/volumes.ts"), "check"];
  assert.match(
    execFileSync(process.execPath, check, { env: { ...process.env, CAISSON_HOME: home }, encoding: "utf8" }),
    /: 0 faults/,
  );
});
