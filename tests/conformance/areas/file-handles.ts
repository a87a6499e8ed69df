/** Rows 66-73: open files. */
import assert from "node:assert/strict";
import { SeekMode } from "@deno/sandbox";
import { bytes, rejection, text, until, type Scenario } from "../runner/scenario.ts";

export const scenarios: readonly Scenario[] = [
  {
    row: 66,
    title: "open and create follow their options",
    async run({ sandbox, directory }) {
      const path = `${directory}/file`;
      assert.equal((await rejection(sandbox.fs.open(path))).constructor.name, "NotFound");
      await using made = await sandbox.fs.create(path);
      await made.write(bytes("0123456789"));
      assert.equal(
        (await rejection(sandbox.fs.open(path, { write: true, createNew: true }))).constructor.name,
        "AlreadyExists",
      );
      await using reader = await sandbox.fs.open(path);
      assert.equal(await reader.read(new Uint8Array(4)), 4);
      await rejection(reader.write(bytes("x")));
      await using appender = await sandbox.fs.open(path, { append: true });
      await appender.write(bytes("ab"));
      assert.equal(await sandbox.fs.readTextFile(path), "0123456789ab");
      await using cleared = await sandbox.fs.open(path, { write: true, truncate: true });
      assert.equal((await cleared.stat()).size, 0);
      await using fresh = await sandbox.fs.open(`${path}-2`, { write: true, create: true, mode: 0o600 });
      assert.equal((await fresh.stat()).mode & 0o777, 0o600);
    },
  },
  {
    row: 67,
    title: "read: short reads, null at the end, readable",
    async run({ sandbox, directory }) {
      await sandbox.fs.writeTextFile(`${directory}/r`, "abcdef");
      await using file = await sandbox.fs.open(`${directory}/r`);
      const buffer = new Uint8Array(4);
      assert.equal(await file.read(buffer), 4);
      assert.equal(text(buffer), "abcd");
      assert.equal(await file.read(buffer), 2);
      assert.equal(text(buffer.slice(0, 2)), "ef");
      assert.equal(await file.read(buffer), null);
      await sandbox.fs.writeFile(`${directory}/large`, new Uint8Array(300_000).fill(7));
      const whole = await sandbox.fs.open(`${directory}/large`);
      assert.equal((await new Response(whole.readable).arrayBuffer()).byteLength, 300_000);
    },
  },
  {
    row: 68,
    title: "write: counts, and writable",
    async run({ sandbox, directory }) {
      await using file = await sandbox.fs.create(`${directory}/w`);
      assert.equal(await file.write(bytes("abc")), 3);
      const second = await sandbox.fs.create(`${directory}/w2`);
      const writer = second.writable.getWriter();
      await writer.write(bytes("one "));
      await writer.write(bytes("two"));
      await writer.close();
      assert.equal(await sandbox.fs.readTextFile(`${directory}/w2`), "one two");
    },
  },
  {
    row: 69,
    title: "seek: from start, current, end, and by bigint",
    async run({ sandbox, directory }) {
      await sandbox.fs.writeTextFile(`${directory}/s`, "0123456789");
      await using file = await sandbox.fs.open(`${directory}/s`);
      const at = async (): Promise<string> => {
        const buffer = new Uint8Array(1);
        await file.read(buffer);
        return text(buffer);
      };
      assert.equal(await file.seek(3, SeekMode.Start), 3);
      assert.equal(await at(), "3");
      assert.equal(await file.seek(2n, SeekMode.Current), 6);
      assert.equal(await at(), "6");
      assert.equal(await file.seek(-1, SeekMode.End), 9);
      assert.equal(await at(), "9");
      await rejection(file.seek(-1, SeekMode.Start));
    },
  },
  {
    row: 70,
    title: "status, truncate, times",
    async run({ sandbox, directory }) {
      await using file = await sandbox.fs.create(`${directory}/t`);
      await file.write(bytes("0123456789"));
      await file.truncate(4);
      assert.equal((await file.stat()).size, 4);
      await file.truncate();
      assert.equal((await file.stat()).size, 0);
      await file.utime(new Date("2001-02-03T04:05:06Z"), new Date("2002-03-04T05:06:07Z"));
      const info = await file.stat();
      assert.equal(info.isFile, true);
      assert.equal(info.atime.toISOString(), "2001-02-03T04:05:06.000Z");
      assert.equal(info.mtime.toISOString(), "2002-03-04T05:06:07.000Z");
    },
  },
  {
    row: 71,
    title: "sync and sync data",
    async run({ sandbox, directory }) {
      await using file = await sandbox.fs.create(`${directory}/y`);
      await file.write(bytes("kept"));
      await file.syncData();
      await file.sync();
      assert.equal(await sandbox.fs.readTextFile(`${directory}/y`), "kept");
    },
  },
  {
    row: 72,
    title: "lock: exclusive makes others wait, shared does not",
    async run({ sandbox, directory }) {
      const path = `${directory}/l`;
      await using first = await sandbox.fs.create(path);
      await using second = await sandbox.fs.open(path);
      await first.lock(true);
      let locked = false;
      const waiting = second.lock(true).then(() => (locked = true));
      // A call made later is answered while the lock waits.
      await sandbox.sh`true`;
      assert.equal(locked, false);
      await first.unlock();
      await waiting;
      await second.unlock();
      await first.lock();
      await second.lock(false);
      await first.unlock();
      await second.unlock();
    },
  },
  {
    row: 73,
    title: "close frees the handle",
    async run({ sandbox, directory }) {
      const file = await sandbox.fs.create(`${directory}/c`);
      await file.lock(true);
      await file.close();
      assert.equal((await rejection(file.stat())).constructor.name, "BadResource");
      // The lock went with the handle.
      await until(
        5_000,
        "the lock",
        async () => (await sandbox.sh`flock -n ${`${directory}/c`} true`.noThrow()).status.success,
      );
    },
  },
];
