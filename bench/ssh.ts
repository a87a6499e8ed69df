/**
 * Files by scp against the same bytes by the official client's `spawn`, in turn, in one run with the sandbox between them.
 * `node bench/ssh.ts [--mib 512] [--rounds 1] [--json]`
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

const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "512" },
    rounds: { type: "string", default: "1" },
    json: { type: "boolean" },
  },
});
const bytes = Number(values.mib) * 2 ** 20;
const rounds = Number(values.rounds);

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

  /** Milliseconds of all rounds. */
  const times = { scpIn: 0, spawnIn: 0, scpOut: 0, spawnOut: 0 };
  const timed = async (what: keyof typeof times, work: () => Promise<unknown>): Promise<void> => {
    const started = performance.now();
    await work();
    times[what] += performance.now() - started;
  };
  const scp = async (from: string, to: string) => {
    const child = spawn("scp", ["-q", "-F", config, from, to], { stdio: "inherit" });
    const [code] = (await once(child, "close")) as [number];
    if (code !== 0) throw new Error(`scp ended with ${code}`);
  };
  // The same file systems at both ends: memory is not the disk.
  const spawnIn = async () => {
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
  };
  const spawnOut = async () => {
    const child = await sandbox.spawn("cat", { args: ["/home/app/by-scp"], stdout: "piped", stderr: "null" });
    const target = await open(join(directory, "by-spawn"), "w");
    for await (const piece of child.stdout!) await target.write(piece);
    await target.close();
    await child.status;
  };
  const inTurn = async (round: number, ...works: (() => Promise<void>)[]) => {
    for (const work of round % 2 === 0 ? works : works.toReversed()) await work();
  };
  for (let round = 0; round < rounds; round++) {
    await inTurn(
      round,
      () => timed("scpIn", () => scp(local, "sandbox:/home/app/by-scp")),
      () => timed("spawnIn", spawnIn),
    );
    await sandbox.fs.remove("/home/app/by-spawn");
    // Whoever reads first would read from the disk, and the other from memory.
    await sandbox.sh`cat /home/app/by-scp > /dev/null`;
    await inTurn(
      round,
      () => timed("scpOut", () => scp("sandbox:/home/app/by-scp", join(directory, "by-scp"))),
      () => timed("spawnOut", spawnOut),
    );
  }
  const rate = (what: keyof typeof times) => megabytesASecond(bytes * rounds, times[what]);
  report({
    "scp into the sandbox, MB/s": rate("scpIn"),
    "spawn, standard input, MB/s": rate("spawnIn"),
    "ratio in": rate("scpIn") / rate("spawnIn"),
    "scp out of the sandbox, MB/s": rate("scpOut"),
    "spawn, standard output, MB/s": rate("spawnOut"),
    "ratio out": rate("scpOut") / rate("spawnOut"),
  });
  await sandbox.kill();
} finally {
  await platform.stop();
  await rm(directory, { recursive: true });
}
