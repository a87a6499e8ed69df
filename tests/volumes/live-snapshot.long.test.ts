/** A snapshot of a volume that a database is writing to is a database as after a power cut: whole, with all that was committed before. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { sharedPlatform } from "@caisson/testing";

await sharedPlatform();
const client = new Client();
const run = Math.random().toString(36).slice(2, 8);
const rounds = 20;
/** Copies that one sandbox looks at. */
const together = 5;

/** Commits one row after another, each flushed to the disk, and tells of each after its commit. */
const writer = `
import os, sqlite3
db = sqlite3.connect("/data/work.db", isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA synchronous = FULL")
db.execute("CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, text TEXT)")
while True:
    db.execute("INSERT INTO log (text) VALUES (hex(randomblob(2000)))")
    last = db.execute("SELECT max(id) FROM log").fetchone()[0]
    with open("/tmp/progress.new", "w") as progress:
        progress.write(str(last))
    os.replace("/tmp/progress.new", "/tmp/progress")
`;

const check = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute("PRAGMA integrity_check").fetchone()[0], db.execute("SELECT count(*), max(id) FROM log").fetchone())
`;

test(
  "snapshots of a mounted volume under load are whole and hold what was committed",
  { timeout: 480_000 },
  async () => {
    const volume = await client.volumes.create({ slug: `sql-${run}`, region: "ord", capacity: "1GB" });
    const taken: { id: string; committed: number }[] = [];
    const sandbox = await Sandbox.create({ volumes: { "/data": volume.id } });
    try {
      const process = await sandbox.spawn("python3", { args: ["-c", writer], stdout: "null", stderr: "inherit" });
      const committed = async () => Number(await sandbox.sh`cat /tmp/progress 2>/dev/null || echo 0`.text());
      while ((await committed()) < 20);
      for (let round = 0; round < rounds; round++) {
        const before = await committed();
        const started = performance.now();
        const { id } = await client.volumes.snapshot(volume.id, { slug: `sql-${run}-${round}` });
        assert.ok(performance.now() - started < 30_000, "the snapshot took too long");
        taken.push({ id, committed: before });
        const end = Date.now() + 20_000;
        while ((await committed()) <= before + 5) assert.ok(Date.now() < end, "the database goes on after a snapshot");
      }
      await process.kill("SIGKILL");
    } finally {
      await sandbox.kill();
    }
    for (let from = 0; from < taken.length; from += together) {
      const volumes: Record<string, string> = {};
      for (const [index, { id }] of taken.slice(from, from + together).entries()) {
        const slug = `copy-${id.slice(-8)}`;
        const copy = await client.volumes.create({ slug, region: "ord", capacity: "1GB", from: id });
        volumes[`/copy-${index}`] = copy.id;
      }
      const reader = await Sandbox.create({ volumes });
      try {
        for (const [index, { committed }] of taken.slice(from, from + together).entries()) {
          const output = await reader.sh`python3 -c ${check} ${`/copy-${index}/work.db`}`.text();
          const [, count, last] = /^ok \((\d+), (\d+)\)$/.exec(output.trim()) ?? [];
          assert.ok(count !== undefined, output);
          assert.equal(count, last);
          assert.ok(Number(count) >= committed, `${count} rows, but ${committed} were committed before the snapshot`);
        }
      } finally {
        await reader.kill();
      }
    }
  },
);
