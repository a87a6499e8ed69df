/** What a process costs through the client, against fork, exec and wait inside the guest. `node bench/spawn.ts [--runs 200]` */
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { quantiles, report } from "./report.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "200" }, json: { type: "boolean" } } });
const runs = Number(values.runs);

/** posix_spawn and wait, timed in the guest. */
const inGuest = `
import os, time, json
samples = []
for _ in range(${runs}):
    start = time.perf_counter()
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    samples.append((time.perf_counter() - start) * 1000)
print(json.dumps(samples))`;

const platform = await startPlatform({ config: { pool: { size: 1 } } });
Object.assign(process.env, platform.env);
try {
  const sandbox = await Sandbox.create({ timeout: "30m" });
  const run = async (command: string, args: string[]): Promise<number> => {
    const start = performance.now();
    const child = await sandbox.spawn(command, { args, stdout: "piped", stderr: "piped" });
    await child.output();
    return performance.now() - start;
  };
  for (let index = 0; index < 20; index++) await run("/bin/true", []);
  const samples: number[] = [];
  for (let index = 0; index < runs; index++) samples.push(await run("/bin/true", []));
  const shell: number[] = [];
  for (let index = 0; index < Math.min(runs, 100); index++) shell.push(await run("bash", ["-c", "true"]));
  const guest = quantiles(JSON.parse((await sandbox.sh`python3 -c ${inGuest}`.text()).trim()) as number[]);
  const client = quantiles(samples);
  report({
    "spawn /bin/true by the client, p50 ms": client.p50,
    "spawn /bin/true by the client, p99 ms": client.p99,
    "bash -c true by the client, p50 ms": quantiles(shell).p50,
    "fork, exec, wait in the guest, p50 ms": guest.p50,
    "fork, exec, wait in the guest, p99 ms": guest.p99,
    "added by Caisson, p50 ms": client.p50 - guest.p50,
  });
  await sandbox.kill();
} finally {
  await platform.stop();
}
