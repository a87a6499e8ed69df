/**
 * What a process costs through the official client, against the agent's own fork, exec and wait inside the same guest.
 * `node bench/spawn.ts [--runs 200]`
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { quantiles, report } from "./report.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "200" }, json: { type: "boolean" } } });
const runs = Number(values.runs);

/** The agent's call in a program of its own, as its user is changed by root. */
async function forkExec(sandbox: Sandbox): Promise<number[]> {
  const directory = await mkdtemp(join(tmpdir(), "csn-fork-"));
  try {
    const program = join(directory, "fork-exec");
    await promisify(execFile)("go", ["build", "-trimpath", "-o", program, "."], {
      cwd: join(import.meta.dirname, "fork-exec"),
      env: { ...process.env, CGO_ENABLED: "0", GOWORK: "off" },
    });
    await sandbox.fs.writeFile("/tmp/fork-exec", await readFile(program), { mode: 0o755 });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const text = await sandbox.sh`sudo /tmp/fork-exec ${String(runs)}`.text();
  return text
    .trim()
    .split("\n")
    .map((nanoseconds) => Number(nanoseconds) / 1e6);
}

const platform = await startPlatform({ config: { pool: { size: 1 }, logLevel: "warn" } });
Object.assign(process.env, platform.env);
try {
  const sandbox = await Sandbox.create({ timeout: "30m" });
  const run = async (stdio: "null" | "piped"): Promise<number> => {
    const start = performance.now();
    const child = await sandbox.spawn("/bin/true", { stdout: stdio, stderr: stdio });
    await (stdio === "piped" ? child.output() : child.status);
    return performance.now() - start;
  };
  for (let index = 0; index < 20; index++) {
    await run("null");
    await run("piped");
  }
  const samples = { bare: [] as number[], piped: [] as number[] };
  for (let index = 0; index < runs; index++) {
    samples.bare.push(await run("null"));
    samples.piped.push(await run("piped"));
  }
  const guest = quantiles(await forkExec(sandbox));
  const bare = quantiles(samples.bare);
  const piped = quantiles(samples.piped);
  report({
    "spawn and status, p50 ms": bare.p50,
    "spawn and status, p99 ms": bare.p99,
    "spawn and output of two pipes, p50 ms": piped.p50,
    "spawn and output of two pipes, p99 ms": piped.p99,
    "fork, exec, wait in the guest, p50 ms": guest.p50,
    "fork, exec, wait in the guest, p99 ms": guest.p99,
    "spawn / fork, exec, wait, p50": bare.p50 / guest.p50,
    "spawn with pipes / fork, exec, wait, p50": piped.p50 / guest.p50,
  });
  await sandbox.kill();
} finally {
  await platform.stop();
}
