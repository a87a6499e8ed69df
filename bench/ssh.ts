/**
 * Files by scp against the same bytes by the official client's `spawn`, in one run with the sandbox between them.
 * `node bench/ssh.ts [--mib 512] [--json]`
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { megabytesASecond, report } from "./report.ts";

const { values } = parseArgs({ options: { mib: { type: "string", default: "512" }, json: { type: "boolean" } } });
const bytes = Number(values.mib) * 2 ** 20;

const platform = await startPlatform({ config: { pool: { size: 1 }, logLevel: "warn" } });
Object.assign(process.env, platform.env);
const directory = await mkdtemp(join(tmpdir(), "caisson-bench-ssh-"));
try {
  const sandbox = await Sandbox.create({ timeout: "30m" });
  const api = platform.env.DENO_DEPLOY_ENDPOINT;
  const answer = await fetch(`${api}/api/v3/sandbox/${sandbox.id}/expose/ssh`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}` },
    body: "{}",
  });
  const { hostname, port, username } = (await answer.json()) as { hostname: string; port: number; username: string };
  const config = join(directory, "config");
  await writeFile(
    config,
    `Host sandbox\nHostName ${hostname}\nPort ${port}\nUser ${username}\nBatchMode yes\nLogLevel ERROR\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n`,
  );
  const local = join(directory, "local");
  const file = await open(local, "w");
  await file.truncate(bytes);
  await file.close();

  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const started = performance.now();
    await work();
    return megabytesASecond(bytes, performance.now() - started);
  };
  const scp = (from: string, to: string) =>
    timed(async () => {
      const child = spawn("scp", ["-q", "-F", config, from, to], { stdio: "inherit" });
      const [code] = (await once(child, "close")) as [number];
      if (code !== 0) throw new Error(`scp ended with ${code}`);
    });
  // The same file systems at both ends: memory is not the disk.
  const up = () =>
    timed(async () => {
      const child = await sandbox.spawn("dd", {
        args: ["of=/home/app/by-spawn", "bs=1M"],
        stdin: "piped",
        stdout: "null",
        stderr: "null",
      });
      const writer = child.stdin!.getWriter();
      const piece = new Uint8Array(2 ** 20);
      for (let sent = 0; sent < bytes; sent += piece.length) await writer.write(piece);
      await writer.close();
      await child.status;
    });
  const down = () =>
    timed(async () => {
      const child = await sandbox.spawn("cat", { args: ["/home/app/by-scp"], stdout: "piped", stderr: "null" });
      const target = await open(join(directory, "by-spawn"), "w");
      for await (const piece of child.stdout!) await target.write(piece);
      await target.close();
      await child.status;
    });
  const scpUp = await scp(local, "sandbox:/home/app/by-scp");
  const spawnUp = await up();
  await sandbox.fs.remove("/home/app/by-spawn");
  const scpDown = await scp("sandbox:/home/app/by-scp", join(directory, "by-scp"));
  const spawnDown = await down();
  report({
    "scp into the sandbox, MB/s": scpUp,
    "spawn, standard input, MB/s": spawnUp,
    "ratio up": scpUp / spawnUp,
    "scp out of the sandbox, MB/s": scpDown,
    "spawn, standard output, MB/s": spawnDown,
    "ratio down": scpDown / spawnDown,
  });
  await sandbox.kill();
} finally {
  await platform.stop();
  await rm(directory, { recursive: true });
}
