/** Rows 46-63: files by path. */
import assert from "node:assert/strict";
import { bytes, collect, rejection, text, type Scenario } from "../runner/scenario.ts";

/** A stream that yields slowly enough to interleave with other traffic. */
function slowly(...parts: Uint8Array<ArrayBuffer>[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const part = parts.shift();
      if (part === undefined) return controller.close();
      await new Promise((resolve) => setTimeout(resolve, 20));
      controller.enqueue(part);
    },
  });
}

export const scenarios: readonly Scenario[] = [
  {
    row: 46,
    title: "read: bytes as they are, empty, two megabytes, relative path, missing, directory",
    async run({ sandbox, directory }) {
      const all = new Uint8Array(256).map((_, index) => index);
      await sandbox.fs.writeFile(`${directory}/bytes`, all);
      assert.deepEqual(await sandbox.fs.readFile(`${directory}/bytes`), all);
      await sandbox.fs.writeFile(`${directory}/empty`, new Uint8Array());
      assert.equal((await sandbox.fs.readFile(`${directory}/empty`)).length, 0);
      const large = new Uint8Array(2_000_000).map((_, index) => (index * 31) % 253);
      await sandbox.fs.writeFile(`${directory}/large`, large);
      assert.deepEqual(await sandbox.fs.readFile(`${directory}/large`), large);
      await sandbox.fs.writeTextFile("relative.txt", "at home");
      assert.equal(text(await sandbox.fs.readFile("/home/app/relative.txt")), "at home");
      assert.equal(text(await sandbox.fs.readFile(new URL("file:///home/app/relative.txt"))), "at home");
      assert.equal((await rejection(sandbox.fs.readFile(`${directory}/missing`))).constructor.name, "NotFound");
      await rejection(sandbox.fs.readFile(directory));
    },
  },
  {
    row: 47,
    title: "read text: UTF-8, with replacement characters where it is not",
    async run({ sandbox, directory }) {
      await sandbox.fs.writeTextFile(`${directory}/t`, "zwölf Boxkämpfer 🥊\n");
      assert.equal(await sandbox.fs.readTextFile(`${directory}/t`), "zwölf Boxkämpfer 🥊\n");
      await sandbox.fs.writeFile(`${directory}/bad`, new Uint8Array([0x61, 0xff, 0x62]));
      assert.equal(await sandbox.fs.readTextFile(`${directory}/bad`), "a\ufffdb");
    },
  },
  {
    row: 48,
    title: "write bytes: creates, overwrites, belongs to the user",
    async run({ sandbox, directory }) {
      const path = `${directory}/b`;
      await sandbox.fs.writeFile(path, bytes("a longer text"));
      await sandbox.fs.writeFile(path, bytes("short"));
      assert.equal(await sandbox.fs.readTextFile(path), "short");
      const info = await sandbox.fs.stat(path);
      assert.deepEqual([info.uid, info.gid, info.mode & 0o777], [1000, 1000, 0o644]);
      await sandbox.sh`echo more >> ${path}`;
      assert.equal(
        (await rejection(sandbox.fs.writeFile(`${directory}/no/such/dir`, bytes("x")))).constructor.name,
        "NotFound",
      );
    },
  },
  {
    row: 49,
    title: "write a stream: empty, slow, larger than a frame, failing",
    async run({ sandbox, directory }) {
      await sandbox.fs.writeFile(`${directory}/empty`, slowly());
      assert.equal((await sandbox.fs.stat(`${directory}/empty`)).size, 0);
      await sandbox.fs.writeFile(`${directory}/slow`, slowly(bytes("a"), bytes("b"), bytes("c")));
      assert.equal(await sandbox.fs.readTextFile(`${directory}/slow`), "abc");
      const chunk = new Uint8Array(300_000).fill(1);
      await sandbox.fs.writeFile(`${directory}/large`, slowly(chunk, chunk, chunk));
      assert.equal((await sandbox.fs.stat(`${directory}/large`)).size, 900_000);
      const broken = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(bytes("begin"));
          controller.error(new Error("source broke"));
        },
      });
      await rejection(sandbox.fs.writeFile(`${directory}/broken`, broken));
    },
  },
  {
    row: 50,
    title: "write text: string and stream",
    async run({ sandbox, directory }) {
      await sandbox.fs.writeTextFile(`${directory}/s`, "grün");
      assert.equal(await sandbox.fs.readTextFile(`${directory}/s`), "grün");
      const parts = ["🥊 ", "split ", "grün"];
      await sandbox.fs.writeTextFile(`${directory}/t`, ReadableStream.from<string>(parts));
      assert.equal(await sandbox.fs.readTextFile(`${directory}/t`), parts.join(""));
    },
  },
  {
    row: 51,
    title: "write options",
    async run({ sandbox, directory }) {
      const path = `${directory}/o`;
      assert.equal(
        (await rejection(sandbox.fs.writeTextFile(path, "x", { create: false }))).constructor.name,
        "NotFound",
      );
      await sandbox.fs.writeTextFile(path, "one", { mode: 0o640 });
      assert.equal((await sandbox.fs.stat(path)).mode & 0o777, 0o640);
      await sandbox.fs.writeTextFile(path, " two", { append: true });
      assert.equal(await sandbox.fs.readTextFile(path), "one two");
      assert.equal(
        (await rejection(sandbox.fs.writeTextFile(path, "x", { createNew: true }))).constructor.name,
        "AlreadyExists",
      );
      await sandbox.fs.writeTextFile(path, "x", { mode: 0o600 });
      assert.equal((await sandbox.fs.stat(path)).mode & 0o777, 0o600);
    },
  },
  {
    row: 52,
    title: "list a directory",
    async run({ sandbox, directory }) {
      await sandbox.sh`cd ${directory} && touch file && mkdir dir && ln -s file link`;
      const entries = (await collect(sandbox.fs.readDir(directory))).toSorted((a, b) => a.name.localeCompare(b.name));
      assert.deepEqual(entries, [
        { name: "dir", isFile: false, isDirectory: true, isSymlink: false },
        { name: "file", isFile: true, isDirectory: false, isSymlink: false },
        { name: "link", isFile: false, isDirectory: false, isSymlink: true },
      ]);
      await rejection(collect(sandbox.fs.readDir(`${directory}/file`)));
      assert.equal((await rejection(collect(sandbox.fs.readDir(`${directory}/none`)))).constructor.name, "NotFound");
    },
  },
  {
    row: 53,
    title: "remove: file, empty directory, tree only when asked",
    async run({ sandbox, directory }) {
      await sandbox.sh`cd ${directory} && touch f && mkdir -p empty tree/deep && touch tree/deep/x`;
      await sandbox.fs.remove(`${directory}/f`);
      await sandbox.fs.remove(`${directory}/empty`);
      await rejection(sandbox.fs.remove(`${directory}/tree`));
      await sandbox.fs.remove(`${directory}/tree`, { recursive: true });
      assert.equal((await rejection(sandbox.fs.remove(`${directory}/tree`))).constructor.name, "NotFound");
      assert.deepEqual(await collect(sandbox.fs.readDir(directory)), []);
    },
  },
  {
    row: 54,
    title: "make a directory: once, recursively, with a mode",
    async run({ sandbox, directory }) {
      await sandbox.fs.mkdir(`${directory}/d`, { mode: 0o700 });
      const info = await sandbox.fs.stat(`${directory}/d`);
      assert.deepEqual([info.isDirectory, info.mode & 0o777, info.uid], [true, 0o700, 1000]);
      assert.equal((await rejection(sandbox.fs.mkdir(`${directory}/d`))).constructor.name, "AlreadyExists");
      assert.equal((await rejection(sandbox.fs.mkdir(`${directory}/a/b`))).constructor.name, "NotFound");
      await sandbox.fs.mkdir(`${directory}/a/b`, { recursive: true });
      await sandbox.fs.mkdir(`${directory}/a/b`, { recursive: true });
      await sandbox.fs.mkdir("/data/conformance", { recursive: true });
    },
  },
  {
    row: 55,
    title: "rename: moves and replaces",
    async run({ sandbox, directory }) {
      await sandbox.fs.writeTextFile(`${directory}/a`, "a");
      await sandbox.fs.writeTextFile(`${directory}/b`, "b");
      await sandbox.fs.rename(`${directory}/a`, `${directory}/b`);
      assert.equal(await sandbox.fs.readTextFile(`${directory}/b`), "a");
      assert.equal(
        (await rejection(sandbox.fs.rename(`${directory}/a`, `${directory}/c`))).constructor.name,
        "NotFound",
      );
    },
  },
  {
    row: 56,
    title: "copy: content and permissions, over an old file",
    async run({ sandbox, directory }) {
      await sandbox.fs.writeTextFile(`${directory}/a`, "content", { mode: 0o755 });
      await sandbox.fs.writeTextFile(`${directory}/b`, "something longer than that");
      await sandbox.fs.copyFile(`${directory}/a`, `${directory}/b`);
      assert.equal(await sandbox.fs.readTextFile(`${directory}/b`), "content");
      assert.equal((await sandbox.fs.stat(`${directory}/b`)).mode & 0o777, 0o755);
      assert.equal(
        (await rejection(sandbox.fs.copyFile(`${directory}/none`, `${directory}/c`))).constructor.name,
        "NotFound",
      );
    },
  },
  {
    row: 57,
    title: "status has all fields; of a link, itself or its target",
    async run({ sandbox, directory }) {
      await sandbox.sh`cd ${directory} && printf 12345 > f && ln f hard && ln -s f l && mkfifo p`;
      const info = await sandbox.fs.stat(`${directory}/l`);
      assert.deepEqual(
        [info.isFile, info.isDirectory, info.isSymlink, info.size, info.nlink, info.uid, info.gid],
        [true, false, false, 5, 2, 1000, 1000],
      );
      for (const key of ["dev", "ino", "rdev", "blksize", "blocks", "mode"] as const)
        assert.equal(typeof info[key], "number", key);
      for (const key of ["mtime", "atime", "birthtime", "ctime"] as const) {
        assert.ok(Math.abs(info[key].getTime() - Date.now()) < 60_000, `${key} is ${info[key].toISOString()}`);
      }
      assert.equal(info.mode & 0o170000, 0o100000);
      const link = await sandbox.fs.lstat(`${directory}/l`);
      assert.deepEqual([link.isSymlink, link.isFile], [true, false]);
      assert.equal((await sandbox.fs.stat(`${directory}/p`)).isFifo, true);
      assert.equal((await sandbox.fs.stat("/dev/null")).isCharDevice, true);
      assert.equal((await rejection(sandbox.fs.stat(`${directory}/none`))).constructor.name, "NotFound");
    },
  },
  {
    row: 58,
    title: "mode and owner",
    async run({ sandbox, directory }) {
      const path = `${directory}/f`;
      await sandbox.fs.writeTextFile(path, "");
      await sandbox.fs.chmod(path, 0o4751);
      assert.equal((await sandbox.fs.stat(path)).mode & 0o7777, 0o4751);
      await sandbox.fs.chown(path, 1234, null);
      await sandbox.fs.chown(path, null, 4321);
      const info = await sandbox.fs.stat(path);
      assert.deepEqual([info.uid, info.gid], [1234, 4321]);
    },
  },
  {
    row: 59,
    title: "links and real paths",
    async run({ sandbox, directory }) {
      await sandbox.fs.writeTextFile(`${directory}/f`, "x");
      await sandbox.fs.link(`${directory}/f`, `${directory}/hard`);
      assert.equal((await sandbox.fs.stat(`${directory}/hard`)).nlink, 2);
      await sandbox.fs.symlink("f", `${directory}/soft`);
      assert.equal(await sandbox.fs.readLink(`${directory}/soft`), "f");
      assert.equal(await sandbox.fs.realPath(`${directory}/../${directory.split("/").at(-1)}/soft`), `${directory}/f`);
      assert.equal((await rejection(sandbox.fs.symlink("f", `${directory}/soft`))).constructor.name, "AlreadyExists");
      await rejection(sandbox.fs.readLink(`${directory}/f`));
      await sandbox.fs.symlink("loop", `${directory}/loop`);
      assert.equal((await rejection(sandbox.fs.realPath(`${directory}/loop`))).code, "ELOOP");
    },
  },
  {
    row: 60,
    title: "temporary directory and file",
    async run({ sandbox, directory }) {
      const dir = await sandbox.fs.makeTempDir();
      assert.match(dir, /^\/tmp\//);
      assert.equal((await sandbox.fs.stat(dir)).isDirectory, true);
      const file = await sandbox.fs.makeTempFile({ dir: directory, prefix: "pre-", suffix: ".txt" });
      assert.match(file, new RegExp(`^${directory}/pre-.+\\.txt$`));
      const info = await sandbox.fs.stat(file);
      assert.deepEqual([info.isFile, info.size, info.uid, info.mode & 0o077], [true, 0, 1000, 0]);
      assert.notEqual(
        await sandbox.fs.makeTempDir({ dir: directory }),
        await sandbox.fs.makeTempDir({ dir: directory }),
      );
    },
  },
  {
    row: 61,
    title: "truncate: to nothing, shorter, longer with zeros",
    async run({ sandbox, directory }) {
      const path = `${directory}/f`;
      await sandbox.fs.writeTextFile(path, "12345");
      await sandbox.fs.truncate(path, 3);
      assert.equal(await sandbox.fs.readTextFile(path), "123");
      await sandbox.fs.truncate(path, 5);
      assert.deepEqual(await sandbox.fs.readFile(path), new Uint8Array([49, 50, 51, 0, 0]));
      await sandbox.fs.truncate(path);
      assert.equal((await sandbox.fs.stat(path)).size, 0);
    },
  },
  {
    row: 62,
    title: "mask: the previous one comes back, new files obey",
    async run({ sandbox, directory }) {
      const before = await sandbox.fs.umask(0o077);
      try {
        assert.equal(await sandbox.fs.umask(), 0o077);
        await sandbox.fs.writeTextFile(`${directory}/f`, "");
        assert.equal((await sandbox.fs.stat(`${directory}/f`)).mode & 0o777, 0o600);
      } finally {
        assert.equal(await sandbox.fs.umask(before), 0o077);
      }
    },
  },
  {
    row: 63,
    title: "access and modification time",
    async run({ sandbox, directory }) {
      const path = `${directory}/f`;
      await sandbox.fs.writeTextFile(path, "");
      await sandbox.fs.utime(path, new Date("2001-02-03T04:05:06.789Z"), new Date("2002-03-04T05:06:07.123Z"));
      const info = await sandbox.fs.stat(path);
      assert.equal(info.atime.toISOString(), "2001-02-03T04:05:06.789Z");
      assert.equal(info.mtime.toISOString(), "2002-03-04T05:06:07.123Z");
      await sandbox.fs.utime(path, 1000, 2000);
      assert.equal((await sandbox.fs.stat(path)).mtime.getTime(), 2000);
    },
  },
];
