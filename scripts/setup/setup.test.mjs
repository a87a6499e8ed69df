/** The parts of the set-up that decide something, on real files and processes. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";

const place = mkdtempSync(join(tmpdir(), "caisson-setup-test-"));
after(() => rmSync(place, { recursive: true, force: true }));
// Where the cache is is decided on import.
process.env.CAISSON_CACHE = join(place, "cache");

const { run } = await import("./command.mjs");
const { cpio, directory, executable } = await import("./cpio.mjs");
const { chooseMirror } = await import("./debian-mirror.mjs");
const { keepNewest, makeWhole } = await import("./draft.mjs");
const { runSteps } = await import("./runner.mjs");
const { versionsOf, wordsOf } = await import("./steps/base-image.mjs");
const { majorVersion } = await import("./steps/debian-packages.mjs");
const { outdated } = await import("./steps/npm-packages.mjs");
const { treeHash } = await import("./tree-hash.mjs");

test("the mirror is the host's own, whatever else apt knows", () => {
  const listing = [
    "https://tools.example/apt/|nodistro|main|/usr/share/keyrings/tools.gpg",
    "http://mirror.example/debian/|bookworm-updates|main|$(SIGNED_BY)",
    "http://mirror.example/debian/|bookworm|contrib|$(SIGNED_BY)",
    "http://mirror.example/debian/|bookworm|main|/usr/share/keyrings/debian-archive-keyring.gpg",
    "http://mirror.example/debian-security/|bookworm-security|main|$(SIGNED_BY)",
    "",
  ].join("\n");
  assert.deepEqual(chooseMirror(listing, "bookworm"), {
    main: "http://mirror.example/debian",
    security: "http://mirror.example/debian-security",
    releases: ["nodistro", "bookworm-updates", "bookworm", "bookworm-security"],
    signedBy: "/usr/share/keyrings/debian-archive-keyring.gpg",
  });
});

test("a host without a Debian archive has no mirror", () => {
  assert.equal(
    chooseMirror("file:/media/cdrom/|bookworm|main|$(SIGNED_BY)\nhttp://u.example/ubuntu/|noble|main|x", "noble1"),
    null,
  );
});

test("a source may name the release by its role", () => {
  assert.equal(
    chooseMirror("http://m.example/debian/|stable|main|$(SIGNED_BY)", "trixie")?.main,
    "http://m.example/debian",
  );
});

test("major versions of Debian packages", () => {
  assert.equal(majorVersion("1:10.0.2+ds-2+deb13u1~bpo12+1"), 10);
  assert.equal(majorVersion("2:1.19~1"), 1);
  assert.equal(majorVersion("0.8.0-2"), 0);
});

test("npm packages are compared with the lock file by version and hash", () => {
  const locked = {
    "": { version: "1.0.0" },
    "packages/node": { version: "1.0.0" },
    "node_modules/@caisson/node": { link: true },
    "node_modules/zod": { version: "4.0.0", integrity: "sha512-a" },
    "node_modules/deep/node_modules/@x/y": { version: "2.0.0", integrity: "sha512-b" },
    "node_modules/for-macos": { version: "1.0.0", integrity: "sha512-c", optional: true },
  };
  const good = {
    "node_modules/@caisson/node": { link: true },
    "node_modules/zod": { version: "4.0.0", integrity: "sha512-a" },
    "node_modules/deep/node_modules/@x/y": { version: "2.0.0", integrity: "sha512-b" },
  };
  assert.deepEqual(outdated(locked, good), []);
  assert.deepEqual(outdated(locked, { ...good, "node_modules/zod": { version: "3.9.0", integrity: "sha512-a" } }), [
    "zod",
  ]);
  const { "node_modules/deep/node_modules/@x/y": _, ...without } = good;
  assert.deepEqual(outdated(locked, without), ["@x/y"]);
});

test("lists of the recipe: comments are left out", () => {
  assert.deepEqual(wordsOf("# head\nbash   # the shell\n\nsudo git # two\n"), ["bash", "sudo", "git"]);
  assert.deepEqual(versionsOf("bash\t5.2\nsudo\t1.9\n"), { bash: "5.2", sudo: "1.9" });
});

test("a key changes with content, name and permission to execute, and with nothing else", () => {
  const tree = join(place, "tree");
  mkdirSync(join(tree, "in"), { recursive: true });
  writeFileSync(join(tree, "in/a.go"), "one");
  writeFileSync(join(tree, "in/a_test.go"), "test");
  const key = () => treeHash(tree, ["in"], (file) => !file.endsWith("_test.go"), ["-trimpath"]);
  const first = key();
  utimesSync(join(tree, "in/a.go"), 1, 1);
  writeFileSync(join(tree, "in/a_test.go"), "another test");
  assert.equal(key(), first);
  chmodSync(join(tree, "in/a.go"), 0o755);
  const second = key();
  assert.notEqual(second, first);
  writeFileSync(join(tree, "in/a.go"), "two");
  assert.notEqual(key(), second);
});

test("an initramfs archive has the layout Linux reads", () => {
  const archive = cpio([
    { name: "dev", mode: directory },
    { name: "init", mode: executable, content: Buffer.from("hello") },
  ]);
  assert.equal(archive.length % 4, 0);
  let at = 0;
  const seen = [];
  for (;;) {
    assert.equal(archive.toString("latin1", at, at + 6), "070701");
    const field = (index) => Number.parseInt(archive.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = archive.toString("latin1", at + 110, at + 110 + nameSize - 1);
    const start = Math.ceil((at + 110 + nameSize) / 4) * 4;
    if (name === "TRAILER!!!") break;
    seen.push([name, mode.toString(8), archive.toString("latin1", start, start + size)]);
    at = Math.ceil((start + size) / 4) * 4;
  }
  assert.deepEqual(seen, [
    ["dev", "40755", ""],
    ["init", "100755", "hello"],
  ]);
});

test("a folder is there whole or not at all, and what a dead set-up left goes", async () => {
  const target = join(place, "built/key");
  mkdirSync(join(place, "built/.draft-1"), { recursive: true });
  await assert.rejects(
    makeWhole(target, async () => Promise.reject(new Error("no"))),
    /no/,
  );
  assert.deepEqual(readdirSync(join(place, "built")), []);
  await makeWhole(target, async (draft) => writeFileSync(join(draft, "file"), "x"));
  assert.deepEqual(readdirSync(join(place, "built")), ["key"]);
});

test("old results are removed, newest and used stay", () => {
  const parent = join(place, "many");
  for (const [index, name] of ["used", "b", "c", "d"].entries()) {
    mkdirSync(join(parent, name), { recursive: true });
    utimesSync(join(parent, name), index, index);
  }
  keepNewest(parent, 3, join(parent, "used"));
  assert.deepEqual(readdirSync(parent).sort(), ["c", "d", "used"]);
});

test("a command that fails says why, where its output is and what to do", async () => {
  const script = "echo 'error: the first cause'; for i in $(seq 20); do echo help $i; done; exit 3";
  await assert.rejects(run("sh", ["-c", script], { log: "failing", progress() {}, remedy: "mend it" }), (error) => {
    assert.match(error.message, /exit code 3/);
    assert.match(error.message, /the first cause/);
    assert.match(error.message, /help 20/);
    assert.equal(error.remedy, "mend it");
    assert.match(readFileSync(error.log, "utf8"), /help 7/);
    return true;
  });
  await assert.rejects(
    run("caisson-no-such-command", [], { log: "failing", progress() {}, remedy: "install it" }),
    /ENOENT/,
  );
  await assert.rejects(
    run("sleep", ["60"], { log: "failing", progress() {}, remedy: "", timeoutSeconds: 0.2 }),
    /longer than/,
  );
});

test("a failing step is named", async () => {
  const step = {
    name: "Teapot",
    needed: () => "cold",
    plan: () => [],
    run: async () => Promise.reject(new Error("boom")),
  };
  await assert.rejects(runSteps([step]), (error) => error.step === "Teapot" && /boom/.test(error.message));
});

test("two set-ups at once: one works, the other waits and finds nothing left to do", async () => {
  const worker = join(place, "worker.mjs");
  const done = join(place, "done");
  writeFileSync(
    worker,
    `import { appendFileSync, existsSync } from "node:fs";
     import { runSteps } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, "runner.mjs")).href)};
     await runSteps([{ name: "Once", needed: () => (existsSync(${JSON.stringify(done)}) ? null : "absent"), plan: () => [],
       async run() { await new Promise((r) => setTimeout(r, 500)); appendFileSync(${JSON.stringify(done)}, "x"); } }]);`,
  );
  const codes = await Promise.all(
    [1, 2].map(
      () => new Promise((resolve) => spawn(process.execPath, [worker], { stdio: "ignore" }).once("exit", resolve)),
    ),
  );
  assert.deepEqual(codes, [0, 0]);
  assert.equal(existsSync(done) && readFileSync(done, "utf8"), "x");
});
