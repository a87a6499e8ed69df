/**
 * Requests a second of an app through the gateway, against the same server asked by the same program inside the same guest, in turn; and
 * where the processor time of a request goes. `node bench/serving/main.ts [--rounds 5] [--seconds 5] [--json]`
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { Client } from "@deno/sandbox";
import { startPlatform, until } from "@caisson/testing";
import { processorTime } from "../processor-time.ts";
import { quantiles, report } from "../report.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "5" },
    json: { type: "boolean" },
  },
});
const rounds = Number(values.rounds);
const execute = promisify(execFile);

/** What the program that asks prints. `spent` is its processor time, milliseconds, as are the quantiles. */
interface Load {
  readonly requests: number;
  readonly failed: number;
  readonly error: string;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly spent: number;
}

/** Answers, asks itself, and says how much processor time each program in its machine has used, in ticks of 10 ms. */
const program = `
await Deno.copyFile("/app/src/load", "/tmp/load");
await Deno.chmod("/tmp/load", 0o755);
async function times() {
  const found = {};
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\\d+$/.test(name)) continue;
    const stat = await Deno.readTextFile("/proc/" + name + "/stat").catch(() => undefined);
    if (stat === undefined) continue;
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    found[name] = { name: stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")")), ticks: Number(fields[11]) + Number(fields[12]) };
  }
  return { own: String(Deno.pid), found };
}
Deno.serve(async (request) => {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/times") return Response.json(await times());
  if (pathname !== "/load") return new Response("hello");
  const args = ["-connections", searchParams.get("connections"), "-seconds", searchParams.get("seconds")];
  const { stdout } = await new Deno.Command("/tmp/load", { args }).output();
  return new Response(stdout);
});`;

/** @returns the path of the program that asks */
async function buildLoad(directory: string): Promise<string> {
  const path = join(directory, "load");
  await execute("go", ["build", "-trimpath", "-ldflags", "-s -w", "-o", path, "."], {
    cwd: join(import.meta.dirname, "load"),
    env: { ...process.env, CGO_ENABLED: "0", GOWORK: "off" },
  });
  return path;
}

const home = await mkdtemp(join(tmpdir(), "csn-"));
const load = await buildLoad(home);
const authority = join(home, "gateway-ca.pem");
const platform = await startPlatform({
  home,
  config: {
    // One instance, which stays.
    serving: { idleTimeout: 600, maxInstances: 1 },
    // Of one address: all clients are one process.
    gateway: { requestsPerAddress: 1e6, requestsPerSandbox: 1e6, handshakesPerAddress: 1e4 },
    pool: { size: 0 },
    logLevel: "warn",
  },
});
Object.assign(process.env, platform.env);
const client = new Client();

async function deploy(): Promise<string> {
  await client.apps.create({ slug: "served" });
  const { id } = (await client.apps.deploy("served", {
    assets: {
      "main.ts": { kind: "file", encoding: "utf-8", content: program },
      load: { kind: "file", encoding: "base64", content: (await readFile(load)).toString("base64") },
    },
    production: true,
  } as never)) as unknown as { id: string };
  await until(300_000, "the deployment", async () => {
    const { status, failure_message: why } = (await client.revisions.get(id)) as unknown as Record<string, string>;
    if (status === "failed") throw new Error(why);
    return status === "succeeded";
  });
  const timelines = (await client.revisions.timelines(id)) as unknown as { domains: { domain: string }[] }[];
  return timelines[0]!.domains[0]!.domain;
}

function checked(loaded: Load): Load {
  if (loaded.failed > 0 || loaded.requests === 0) throw new Error(loaded.error);
  return loaded;
}

/** By the program outside, through the gateway. */
async function outside(domain: string, connections: number, seconds: string): Promise<Load> {
  const address = `127.0.0.1:${domain.split(":")[1]}`;
  const args = ["-address", address, "-host", domain, "-authority", authority, "-connections", String(connections)];
  const { stdout } = await execute(load, [...args, "-seconds", seconds]);
  return checked(JSON.parse(stdout) as Load);
}

/** One page of the app. */
async function page<T>(domain: string, path: string): Promise<T> {
  const address = `https://${domain}${path}`;
  const args = ["-sS", "--fail", "--cacert", authority, "--resolve", `${domain}:127.0.0.1`, address];
  return JSON.parse((await execute("curl", args)).stdout) as T;
}

/** By the same program in the guest. */
async function inside(domain: string, connections: number, seconds: string): Promise<Load> {
  return checked(await page<Load>(domain, `/load?connections=${connections}&seconds=${seconds}`));
}

interface Times {
  readonly own: string;
  readonly found: Readonly<Record<string, { readonly name: string; readonly ticks: number }>>;
}

/** Processor time of the parts while the gateway is asked. */
async function parts(domain: string, connections: number): Promise<Record<string, number>> {
  const guestBefore = await page<Times>(domain, "/times");
  const before = processorTime(platform.pid);
  const { requests, spent } = await outside(domain, connections, values.seconds);
  const after = processorTime(platform.pid);
  const guest = await page<Times>(domain, "/times");
  const ticks = (wanted: (pid: string) => boolean) =>
    Object.entries(guest.found)
      .filter(([pid]) => wanted(pid))
      .reduce((sum, [pid, { ticks: now }]) => sum + now - (guestBefore.found[pid]?.ticks ?? 0), 0);
  const all = ticks(() => true);
  const milliseconds = {
    client: spent,
    "gateway and server": after.server - before.server,
    "QEMU's main thread": after.monitors - before.monitors,
    guest: after.guests - before.guests,
  };
  return {
    ...Object.fromEntries(
      Object.entries(milliseconds).map(([name, time]) => [`processor time of a request, ms: ${name}`, time / requests]),
    ),
    // The guest takes time that its host gave to others for its own, so only the shares are right.
    "of the guest's: program": ticks((pid) => pid === guest.own) / all,
    "of the guest's: agent": ticks((pid) => pid === "1") / all,
  };
}

const median = (samples: readonly number[]) => quantiles(samples).p50;

try {
  const domain = await deploy();
  for (const connections of [1, 16]) {
    await outside(domain, connections, "2");
    await inside(domain, connections, "2");
    const [through, alone, ratios]: [Load[], Load[], number[]] = [[], [], []];
    for (let round = 0; round < rounds; round++) {
      const one = await inside(domain, connections, values.seconds);
      const other = await outside(domain, connections, values.seconds);
      alone.push(one);
      through.push(other);
      ratios.push(other.requests / other.seconds / (one.requests / one.seconds));
    }
    const rate = (all: readonly Load[]) => median(all.map(({ requests, seconds }) => requests / seconds));
    const { min, max } = quantiles(ratios);
    report({
      connections,
      "server alone in the guest, requests a second": rate(alone),
      "the same, p50 ms": median(alone.map(({ p50 }) => p50)),
      "the same, p99 ms": median(alone.map(({ p99 }) => p99)),
      "through the gateway, requests a second": rate(through),
      "the same gateway, p50 ms": median(through.map(({ p50 }) => p50)),
      "the same gateway, p99 ms": median(through.map(({ p99 }) => p99)),
      "gateway / alone": median(ratios),
      "least and greatest ratio": `${min.toPrecision(2)} ${max.toPrecision(2)}`,
      ...(await parts(domain, connections)),
    });
  }
} catch (error) {
  process.stderr.write(platform.output());
  throw error;
} finally {
  await platform.stop(30_000);
  await rm(home, { recursive: true, force: true });
}
