/** Rows 7-9, 98-101: volumes and snapshots. */
import assert from "node:assert/strict";
import { Client, Sandbox, Snapshot, Volume } from "@deno/sandbox";
import { collect, rejection, type Scenario } from "../runner/scenario.ts";

/** Every scenario makes its own sandboxes. */
export const shared = false;

const client = new Client();
const run = Math.random().toString(36).slice(2, 10);
let count = 0;
/** Slugs of one run of this file differ from those of all others. */
const slug = (name: string) => `${name}-${run}-${++count}`;
const plain = (name: string) => client.volumes.create({ slug: slug(name), region: "ord", capacity: "300MB" });
const bootable = (name: string, from: string = "builtin:debian-13") =>
  client.volumes.create({ slug: slug(name), region: "ord", capacity: "1GB", from });

async function inSandbox(options: object, commands: (sandbox: Sandbox) => Promise<void>): Promise<void> {
  const sandbox = await Sandbox.create(options);
  try {
    await commands(sandbox);
  } finally {
    await sandbox.kill();
  }
}

export const scenarios: readonly Scenario[] = [
  {
    row: 7,
    title: "a root volume keeps what is written to the system",
    limit: 90_000,
    async run() {
      const volume = await bootable("root");
      assert.equal(volume.isBootable, true);
      await inSandbox({ root: volume.slug }, async (sandbox) => {
        await sandbox.sh`sudo sh -c 'echo installed > /usr/local/bin/mark' && echo mine > /home/app/file`;
      });
      await inSandbox({ root: volume.id }, async (sandbox) => {
        assert.equal(await sandbox.sh`cat /usr/local/bin/mark /home/app/file`.text(), "installed\nmine\n");
        assert.match(await sandbox.sh`whoami; df --output=size -B1 / | tail -1`.text(), /^app\n\s*9\d{8}\n$/);
        const busy = await rejection(Sandbox.create({ root: volume.id }));
        assert.deepEqual([busy.status, busy.code], [409, "VOLUME_ATTACHED"]);
      });
      const unfit = await plain("plain");
      assert.equal(unfit.isBootable, false);
      assert.equal((await rejection(Sandbox.create({ root: unfit.id }))).status, 400);
      await client.volumes.delete(volume.id);
    },
  },
  {
    row: 8,
    title: "a root snapshot serves many sandboxes, none of which changes it",
    limit: 120_000,
    async run() {
      const volume = await bootable("soft");
      await inSandbox(
        { root: volume.id },
        async (sandbox) => void (await sandbox.sh`sudo sh -c 'echo v1 > /opt/version'`),
      );
      const snapshot = await client.volumes.snapshot(volume.id, { slug: slug("image") });
      assert.equal(snapshot.isBootable, true);
      await inSandbox({ root: snapshot.slug }, async (one) => {
        await inSandbox({ root: snapshot.id }, async (two) => {
          await one.sh`sudo sh -c 'echo one > /opt/version'`;
          assert.equal(await one.sh`cat /opt/version`.text(), "one\n");
          assert.equal(await two.sh`cat /opt/version`.text(), "v1\n");
          const names = await Promise.all(
            [one, two].map((sandbox) => sandbox.sh`cat /etc/machine-id /etc/hostname`.text()),
          );
          assert.notEqual(names[0], names[1], "two sandboxes of one snapshot are two machines");
        });
      });
      await inSandbox({ root: snapshot.id }, async (sandbox) =>
        assert.equal(await sandbox.sh`cat /opt/version`.text(), "v1\n"),
      );
      await client.snapshots.delete(snapshot.id);
      await client.volumes.delete(volume.id);
    },
  },
  {
    row: 9,
    title: "a volume is mounted at any path, for one sandbox at a time, and keeps its files",
    limit: 90_000,
    async run() {
      const volume = await plain("data");
      await inSandbox({ volumes: { "/data/deep/down": volume.slug } }, async (sandbox) => {
        await sandbox.fs.writeTextFile("/data/deep/down/note", "kept");
        const second = await rejection(Sandbox.create({ volumes: { "/x": volume.id } }));
        assert.deepEqual([second.status, second.code], [409, "VOLUME_ATTACHED"]);
        assert.match(second.message, new RegExp(sandbox.id));
        assert.equal((await rejection(client.volumes.delete(volume.id))).status, 409);
      });
      await inSandbox({ volumes: { "/home/app/elsewhere": volume.id } }, async (sandbox) => {
        assert.equal(await sandbox.fs.readTextFile("/home/app/elsewhere/note"), "kept");
        assert.match(await sandbox.sh`df --output=size -B1 /home/app/elsewhere | tail -1`.text(), /^\s*2[5-9]\d{7}\n$/);
      });
      for (const [path, name] of [
        ["/", volume.id],
        ["data", volume.id],
        ["/proc", volume.id],
      ] as const) {
        assert.equal((await rejection(Sandbox.create({ volumes: { [path]: name } }))).status, 400, path);
      }
      assert.equal((await rejection(Sandbox.create({ volumes: { "/x": "no-such-volume" } }))).status, 404);
      // What failed took nothing.
      await client.volumes.delete(volume.id);
    },
  },
  {
    row: 98,
    title: "create: units, bounds, slugs, `from`",
    limit: 60_000,
    async run() {
      const name = slug("units");
      const volume = await Volume.create({ slug: name, region: "ord", capacity: "1GB" });
      assert.match(volume.id, /^vol_ord_[0-9a-z]{20}$/);
      assert.deepEqual(
        [
          volume.slug,
          volume.region,
          volume.capacity,
          volume.estimatedAllocatedSize,
          volume.estimatedFlattenedSize,
          volume.isBootable,
          volume.baseSnapshot,
        ],
        [name, "ord", 1_000_000_000, 8_797_184, 8_797_184, false, null],
      );
      for (const [capacity, bytes] of [
        ["300MB", 300e6],
        ["400000kB", 400e6],
        ["1GiB", 2 ** 30],
        ["300MiB", 300 * 2 ** 20],
        ["400000KiB", 400_000 * 1024],
        [20e9, 20e9],
      ] as const) {
        const made = await client.volumes.create({ slug: slug("size"), region: "ord", capacity });
        assert.equal(made.capacity, bytes, String(capacity));
        await client.volumes.delete(made.id);
      }
      const create = (options: object) =>
        rejection(client.volumes.create({ slug: slug("bad"), region: "ord", capacity: "1GB", ...options } as never));
      assert.deepEqual(await create({ slug: name }).then(({ status, code }) => [status, code]), [
        409,
        "SLUG_ALREADY_IN_USE",
      ]);
      for (const bad of [
        { capacity: "299MB" },
        { capacity: "21GB" },
        { capacity: "much" },
        { slug: "-a" },
        { slug: "A" },
        { region: "xyz" },
        { from: "builtin:plan9" },
      ]) {
        assert.equal((await create(bad)).status, 400, JSON.stringify(bad));
      }
      assert.equal((await create({ from: "no-such-snapshot" })).status, 404);
      const root = await bootable("fresh");
      assert.deepEqual(
        [root.estimatedAllocatedSize, root.estimatedFlattenedSize, root.isBootable, root.baseSnapshot],
        [0, 0, true, null],
      );
    },
  },
  {
    row: 99,
    title: "get by id and slug, list with search and pages, delete at once",
    limit: 60_000,
    async run() {
      const made: Volume[] = [];
      for (let index = 0; index < 5; index++) made.push(await plain("page"));
      const search = `page-${run}`;
      const [first] = made;
      assert.equal((await client.volumes.get(first!.id))?.slug, first!.slug);
      assert.equal((await Volume.get(first!.slug))?.id, first!.id);
      assert.equal(await client.volumes.get("no-such-volume"), null);
      const page = await client.volumes.list({ search, limit: 2 });
      assert.deepEqual(
        page.items.map(({ id }) => id),
        made
          .slice(3)
          .toReversed()
          .map(({ id }) => id),
      );
      assert.equal(page.hasMore, true);
      assert.deepEqual(
        (await collect(page)).map(({ id }) => id),
        made.toReversed().map(({ id }) => id),
      );
      await client.volumes.delete(first!.slug);
      assert.equal(await client.volumes.get(first!.id), null);
      assert.equal(await client.volumes.get(first!.slug), null);
      assert.equal((await collect(await client.volumes.list({ search }))).length, 4);
      assert.equal((await rejection(Sandbox.create({ volumes: { "/data": first!.id } }))).status, 404);
      await client.volumes.create({ slug: first!.slug, region: "ord", capacity: "300MB" });
      assert.equal((await rejection(client.volumes.delete("no-such-volume"))).status, 404);
    },
  },
  {
    row: 100,
    title: "snapshot of a detached and of a mounted volume; volumes from it",
    limit: 120_000,
    async run() {
      const volume = await plain("source");
      const snapshots: Snapshot[] = [];
      await inSandbox({ volumes: { "/data": volume.id } }, async (sandbox) => {
        await sandbox.fs.writeTextFile("/data/state", "one");
        // Nothing is flushed by hand: the guest's file system is frozen for the moment.
        snapshots.push(await client.volumes.snapshot(volume.id, { slug: slug("live") }));
        await sandbox.fs.writeTextFile("/data/state", "two");
      });
      snapshots.push(await Snapshot.create(volume.slug, { slug: slug("detached") }));
      assert.match(snapshots[0]!.id, /^snp_ord_[0-9a-z]{20}$/);
      assert.deepEqual(
        [snapshots[0]!.region, snapshots[0]!.isBootable, snapshots[0]!.volume.id],
        ["ord", false, volume.id],
      );
      for (const [index, content] of ["one", "two"].entries()) {
        const copy = await client.volumes.create({
          slug: slug("copy"),
          region: "ord",
          capacity: "500MB",
          from: snapshots[index]!.slug,
        });
        assert.deepEqual(copy.baseSnapshot, { id: snapshots[index]!.id, slug: snapshots[index]!.slug });
        await inSandbox({ volumes: { "/data": copy.id } }, async (sandbox) => {
          assert.equal(await sandbox.fs.readTextFile("/data/state"), content);
          // The file system has grown to the larger capacity.
          assert.match(await sandbox.sh`df --output=size -B1 /data | tail -1`.text(), /^\s*4[4-9]\d{7}\n$/);
        });
      }
      assert.equal((await rejection(client.volumes.snapshot(volume.id, { slug: volume.slug }))).status, 409);
      assert.equal((await rejection(client.volumes.snapshot("no-such-volume", { slug: slug("x") }))).status, 404);
    },
  },
  {
    row: 101,
    title: "snapshots: get, list, delete; what was made from one does not need it",
    limit: 90_000,
    async run() {
      const volume = await plain("base");
      const made: Snapshot[] = [];
      for (let index = 0; index < 3; index++)
        made.push(await client.volumes.snapshot(volume.id, { slug: slug("snap") }));
      assert.equal((await client.snapshots.get(made[0]!.slug))?.id, made[0]!.id);
      assert.equal((await client.snapshots.get(made[0]!.id))?.volume.slug, volume.slug);
      assert.equal(await client.snapshots.get("no-such-snapshot"), null);
      const listed = await collect(await client.snapshots.list({ search: `snap-${run}`, limit: 1 }));
      assert.deepEqual(
        listed.map(({ id }) => id),
        made.toReversed().map(({ id }) => id),
      );
      const child = await client.volumes.create({
        slug: slug("child"),
        region: "ord",
        capacity: "300MB",
        from: made[1]!.id,
      });
      for (const { id } of made) await client.snapshots.delete(id);
      await client.volumes.delete(volume.id);
      assert.equal(await client.snapshots.get(made[1]!.id), null);
      assert.equal((await client.volumes.get(child.id))?.baseSnapshot, null);
      await inSandbox(
        { volumes: { "/data": child.id } },
        async (sandbox) => void (await sandbox.sh`touch /data/works`),
      );
    },
  },
];
