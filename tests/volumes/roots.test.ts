/** Root disks: lines of snapshots of any depth, software that is installed once, and a root that is broken. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { holdings, sharedPlatform, until } from "@caisson/testing";

const { home } = await sharedPlatform();
const client = new Client();
const run = Math.random().toString(36).slice(2, 8);

test(
  "five generations of root snapshots, each seeing all before it, deleted in any order",
  { timeout: 300_000 },
  async () => {
    let from = "builtin:debian-13";
    const names: { kind: "volumes" | "snapshots"; slug: string }[] = [];
    for (let generation = 1; generation <= 5; generation++) {
      const volume = await client.volumes.create({
        slug: `gen-${run}-${generation}`,
        region: "ord",
        capacity: "1GB",
        from,
      });
      const sandbox = await Sandbox.create({ root: volume.id });
      try {
        assert.equal(await sandbox.sh`cat /opt/* 2>/dev/null | wc -l`.text(), `${generation - 1}\n`);
        await sandbox.sh`sudo sh -c ${`echo ${generation} > /opt/gen-${generation}`}`;
        // The last two are taken from the mounted volume.
        if (generation > 3) await client.volumes.snapshot(volume.id, { slug: `snap-${run}-${generation}` });
      } finally {
        await sandbox.kill();
      }
      if (generation <= 3) await client.volumes.snapshot(volume.id, { slug: `snap-${run}-${generation}` });
      from = `snap-${run}-${generation}`;
      names.push({ kind: "volumes", slug: volume.slug }, { kind: "snapshots", slug: from });
    }
    const last = names.pop()!;
    const inLast = async () => {
      const sandbox = await Sandbox.create({ root: last.slug });
      try {
        return await sandbox.sh`cat /opt/*`.text();
      } finally {
        await sandbox.kill();
      }
    };
    assert.equal(await inLast(), "1\n2\n3\n4\n5\n");
    for (const [index, { kind, slug }] of names.toSorted(() => Math.random() - 0.5).entries()) {
      await client[kind].delete(slug);
      if (index % 4 === 3) assert.equal(await inLast(), "1\n2\n3\n4\n5\n", `after ${slug} was deleted`);
    }
    assert.equal(await inLast(), "1\n2\n3\n4\n5\n");
  },
);

test(
  "a broken root is refused in time, in words, and leaves no machine and no lease behind",
  { timeout: 90_000 },
  async () => {
    const volume = await client.volumes.create({
      slug: `broken-${run}`,
      region: "ord",
      capacity: "1GB",
      from: "builtin:debian-13",
    });
    const directory = join(home, "volumes", "layers");
    const newest = readdirSync(directory)
      .filter((name) => !name.startsWith("builtin"))
      .map((name) => ({ name, at: statSync(join(directory, name)).birthtimeMs }))
      .toSorted((a, b) => b.at - a.at)[0]!.name;
    execFileSync("qemu-io", ["-c", "write -P 0 0 8M", join(directory, newest)]);
    await refused(volume.id, /could not start from its root disk/);
    await client.volumes.delete(volume.id);
  },
);

/** The error of a create, which must come in time and leave no machine. */
async function refused(root: string, words: RegExp): Promise<void> {
  const before = holdings(home).processes.length;
  const started = performance.now();
  const attempt = Sandbox.create({ root });
  await assert.rejects(attempt, ({ status, code, message }: { status: number; code: string; message: string }) => {
    assert.deepEqual([status, code], [502, "GUEST_ERROR"]);
    assert.match(message, words);
    return true;
  });
  assert.ok(performance.now() - started < 30_000);
  // The pool may be making a clone in the place of the one that was used up.
  await until(20_000, "the end of the failed machine", () => holdings(home).processes.length <= before + 1);
}

test("a root without a shell is refused with that reason; a full one still starts", { timeout: 120_000 }, async () => {
  const options = { region: "ord", capacity: "600MB", from: "builtin:debian-13" } as const;
  const bare = await client.volumes.create({ slug: `bare-${run}`, ...options });
  const stripper = await Sandbox.create({ root: bare.id });
  await stripper.sh`sudo rm -f /usr/bin/sh /usr/bin/dash`;
  await stripper.kill();
  await refused(bare.id, /no \/bin\/sh/);
  const full = await client.volumes.create({ slug: `full-${run}`, ...options });
  const filler = await Sandbox.create({ root: full.id });
  const left = "df --output=avail / | tail -1";
  await filler.sh`sudo sh -c ${`dd if=/dev/zero of=/filler bs=1M oflag=direct 2>/dev/null; cat /dev/zero > /rest 2>/dev/null; ${left}`}`.text();
  await filler.kill();
  const cleaner = await Sandbox.create({ root: full.id });
  assert.match(await cleaner.sh`sh -c ${left}`.text(), /^\s*\d{1,3}\s*$/, "it is full, in KiB");
  await cleaner.sh`sudo rm /filler && echo room > ~/room`;
  await cleaner.kill();
  await client.volumes.delete(bare.id);
  await client.volumes.delete(full.id);
});

test(
  "Java in a root that was saved trusts the authority of the sandbox that it is in",
  { timeout: 60_000 },
  async () => {
    const options = { region: "ord", capacity: "600MB", from: "builtin:debian-13" } as const;
    const volume = await client.volumes.create({ slug: `java-${run}`, ...options });
    // As Debian's Java packages leave it, with two authorities.
    const sample = readFileSync(join(import.meta.dirname, "../../agent/internal/boot/testdata/cacerts.jks"));
    const store = "/etc/ssl/certs/java/cacerts";
    const installer = await Sandbox.create({ root: volume.id });
    await installer.sh`sudo mkdir ${dirname(store)} && sudo chown app ${dirname(store)}`;
    await installer.fs.writeFile(store, sample);
    await installer.kill();
    for (let life = 1; life <= 2; life++) {
      const sandbox = await Sandbox.create({ root: volume.id });
      try {
        const pem = await sandbox.fs.readTextFile("/usr/local/share/ca-certificates/caisson.crt");
        const own = new X509Certificate(pem).raw;
        const content = Buffer.from(await sandbox.fs.readFile(store));
        assert.ok(content.includes(own), `life ${life}`);
        // An entry is as long as its certificate and 43 bytes of names, date and lengths.
        assert.equal(content.length, sample.length + own.length + 43);
      } finally {
        await sandbox.kill();
      }
    }
    await client.volumes.delete(volume.id);
  },
);
