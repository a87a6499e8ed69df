/**
 * A host whose disk runs full: new volumes are refused early, a machine that writes is stopped instead of damaged, and goes on by
 * itself once there is room. On a small loop file system; needs root. Ends with status 1 when that is not so. `node bench/volumes/disk-full.ts`
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform, until, within } from "@caisson/testing";
import { report } from "../report.ts";

const mebibyte = 2 ** 20;
const work = mkdtempSync(join(tmpdir(), "csn-"));
const disk = join(work, "disk.img");
const home = join(work, "h");
const run = (program: string, ...args: string[]) =>
  execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

run("truncate", "-s", "2G", disk);
run("mkfs.ext4", "-q", "-F", "-m", "0", disk);
run("mkdir", home);
run("mount", "-o", "loop", disk, home);
try {
  const freeBytes = async () => {
    const { bavail, bsize } = await statfs(home);
    return bavail * bsize;
  };
  const fillUpTo = async (remaining: number) =>
    run("fallocate", "-l", String((await freeBytes()) - remaining), join(home, "filler"));
  const platform = await startPlatform({
    home,
    config: { pool: { size: 0 }, volumes: { minFreeDisk: 500 * mebibyte }, logLevel: "warn" },
  });
  Object.assign(process.env, platform.env);
  try {
    const client = new Client();
    const volume = await client.volumes.create({ slug: "filling", region: "ord", capacity: "2GB" });
    const sandbox = await Sandbox.create({ volumes: { "/data": volume.id }, timeout: "20m" });
    await fillUpTo(200 * mebibyte);
    const refusal = await client.volumes.create({ slug: "another", region: "ord", capacity: "1GB" }).then(
      () => "made",
      (error: { status?: number; code?: string }) => `${error.status} ${error.code}`,
    );
    // 400 MiB that cannot be compressed away, with a digest made while writing.
    const script =
      "openssl enc -aes-128-ctr -pass pass:x -nosalt -in /dev/zero 2>/dev/null | head -c 419430400 | tee /data/big | sha256sum && sync && echo written";
    const child = await sandbox.spawn("bash", { args: ["-c", script], stdout: "piped", stderr: "inherit" });
    const output = child.output();
    output.catch(() => undefined);
    await until(240_000, "the disk to be full", async () => (await freeBytes()) < 8 * mebibyte);
    await sleep(3000);
    const answers = await within(3000, "an answer", sandbox.sh`true`.text()).then(
      () => "answers",
      () => "stopped",
    );
    const room = performance.now();
    run("rm", join(home, "filler"));
    const { stdoutText } = await within(240_000, "the writer to finish", output);
    const [digest] = (stdoutText ?? "").split(" ");
    const again = await sandbox.sh`sha256sum /data/big`.text();
    await sandbox.kill();
    const after = await Sandbox.create({ volumes: { "/data": volume.id } });
    const kept = await after.sh`sha256sum /data/big`.text();
    await after.kill();
    await platform.stop();
    const check = execFileSync(
      process.execPath,
      [join(import.meta.dirname, "../../packages/platform/src/volumes.ts"), "check"],
      { env: { ...process.env, CAISSON_HOME: home }, encoding: "utf8" },
    );
    if (digest === undefined || !again.startsWith(digest) || !kept.startsWith(digest))
      throw new Error("What was written is not what is there.");
    if (refusal !== "429 DISK_FULL" || answers !== "stopped") process.exitCode = 1;
    report({
      "a new volume on the nearly full host": refusal,
      "a machine whose write finds no room": answers,
      "room until the write was done, s": (performance.now() - room) / 1000,
      "written data": "as it should be, also in the next sandbox",
      check: check.trim(),
    });
  } finally {
    await platform.stop().catch(() => undefined);
  }
} finally {
  run("umount", home);
  rmSync(work, { recursive: true });
}
