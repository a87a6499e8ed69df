import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { processIds } from "@caisson/linux";
import { asFileName, imageChain, outputName, runJailed } from "./jailed-tool.ts";
import { emptyOverlay } from "./qcow2-header.ts";

let directory: string;
let image: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-tool-"));
  image = join(directory, "image.qcow2");
  // Its header names a file that exists on every host.
  await writeFile(image, emptyOverlay("/etc/hostname", 2 ** 30));
});
afterEach(() => rm(directory, { recursive: true }));

const daemon = ["--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor"];

async function inJail(): Promise<readonly number[]> {
  const pids: number[] = [];
  for (const pid of await processIds()) {
    const mounts = await readFile(`/proc/${pid}/mountinfo`, "utf8").catch(() => "");
    if (mounts.includes(directory)) pids.push(pid);
  }
  return pids;
}

test("nothing of the host is in the jail but the images", async () => {
  const look = (file: string) =>
    runJailed("qemu-img", ["info", asFileName({ driver: "raw", file: { driver: "file", filename: file } })], {
      images: [image],
    });
  await look("/images/0");
  for (const file of ["/etc/hostname", "/etc/passwd", image]) await assert.rejects(look(file), /No such file/, file);
  // By its name alone the tool would follow the header. In the jail even that leads nowhere.
  await assert.rejects(runJailed("qemu-img", ["map", "/images/0"], { images: [image] }), /No such file/);
  await runJailed("qemu-img", ["map", asFileName(imageChain(1))], { images: [image] });
});

test("a tool ends with the call that started it, and has a user of its own", async () => {
  const stop = new AbortController();
  const running = runJailed("qemu-storage-daemon", daemon, {
    images: [image],
    signal: stop.signal,
    onLine: () => undefined,
  });
  running.catch(() => undefined);
  let pids: readonly number[] = [];
  while ((pids = await inJail()).length < 2) await sleep(5);
  await sleep(100);
  const status = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/status`, "utf8").catch(() => "")));
  const tool = status.find((text) => /^Name:\s+qemu/m.test(text)) ?? "";
  assert.match(tool, /^CapEff:\s+0+$/m);
  assert.match(tool, /^Seccomp:\s+2$/m);
  if (process.getuid?.() === 0) assert.match(tool, /^Uid:\s+19\d{8}\s/m);
  stop.abort();
  await assert.rejects(running, { code: "cancelled" });
  for (let wait = 0; wait < 100 && (await inJail()).length > 0; wait++) await sleep(20);
  assert.deepEqual(await inJail(), []);
});

test("an output cannot grow far beyond its inputs, and is ours again afterwards", async () => {
  const output = join(directory, "output");
  await writeFile(output, "", { mode: 0o600 });
  const fill = ["create", "-q", "-f", "raw", "-o", "preallocation=full", outputName, "200M"];
  await assert.rejects(runJailed("qemu-img", fill, { images: [image], output }), { code: "internal" });
  assert.ok((await stat(output)).size <= 65 * 2 ** 20);
  assert.equal((await stat(output)).uid, process.getuid?.());
});
