/**
 * From no instance to 200 requests at once and back to none, on an app of 50 ms work: how many instances there are, and how long requests
 * take, over time, as a picture. `node bench/scaling/main.ts [--requests 200] [--seconds 60] [--out scaling.svg] [--json]`
 */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Client } from "@deno/sandbox";
import { holdings, pause, startPlatform, until } from "@caisson/testing";
import { quantiles, report } from "../report.ts";
import { picture, type Sample, type Visit } from "./picture.ts";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "200" },
    seconds: { type: "string", default: "60" },
    out: { type: "string", default: "scaling.svg" },
    json: { type: "boolean" },
  },
});
const [requests, seconds] = [Number(values.requests), Number(values.seconds)];
/** Seconds without a request after which the last instance ends. */
const idleTimeout = 10;
const sampleInterval = 250;

const program = `
Deno.serve(async () => {
  await new Promise((resolve) => setTimeout(resolve, 50));
  return new Response("done");
});`;

const home = await mkdtemp(join(tmpdir(), "csn-"));
const platform = await startPlatform({
  home,
  config: {
    // Patient: an emulated host that starts several instances at once needs minutes where it does other work as well.
    serving: { idleTimeout, maxInstances: 4, concurrency: 100, startTimeout: 600, queueTimeout: 600 },
    // Of one address: all clients are this process.
    gateway: {
      requestsPerAddress: 1e6,
      requestsPerSandbox: 1e6,
      handshakesPerAddress: 1e4,
      connectionsPerAddress: 1000,
      connectionsPerSandbox: 1000,
    },
    pool: { size: 0 },
    logLevel: "warn",
  },
});
Object.assign(process.env, platform.env);
const client = new Client();

async function instances(): Promise<number> {
  const answer = await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/metrics`, {
    headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}` },
  });
  return Number(/^caisson_app_instances (\d+)$/m.exec(await answer.text())?.[1]);
}

/** Machines of this installation, by the process list of the host: QEMU in one of its control groups. */
function machines(): number {
  const pids = holdings(home).cgroups.flatMap((group) => {
    try {
      return readFileSync(join(group, "cgroup.procs"), "utf8").trim().split("\n");
    } catch {
      return [];
    }
  });
  return [...new Set(pids)].filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("qemu");
    } catch {
      return false;
    }
  }).length;
}

/** A host that is busy with something else may be too slow for a first attempt. */
async function deploy(attempts = 3): Promise<string> {
  const { id } = (await client.apps.deploy("scaled", {
    assets: { "main.ts": { kind: "file", encoding: "utf-8", content: program } },
    production: true,
  } as never)) as unknown as { id: string };
  const { status, failure_message } = await until(300_000, "the deployment", async () => {
    const revision = (await client.revisions.get(id)) as unknown as { status: string; failure_message: string | null };
    return ["succeeded", "failed"].includes(revision.status) ? revision : undefined;
  });
  if (status !== "succeeded") {
    if (attempts > 1) return deploy(attempts - 1);
    throw new Error(failure_message ?? status);
  }
  const timelines = (await client.revisions.timelines(id)) as unknown as { domains: { domain: string }[] }[];
  return timelines[0]!.domains[0]!.domain;
}

function visit(domain: string, ca: Buffer, agent: Agent): Promise<void> {
  const [host = "", port] = domain.split(":");
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, servername: host, headers: { host: domain }, ca, agent };
    const sent = request(options, (response) => {
      response.resume();
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`status ${response.statusCode}`));
      });
    });
    sent.on("error", reject).end();
  });
}

try {
  await client.apps.create({ slug: "scaled" });
  const domain = await deploy();
  const none = async () => (await instances()) === 0 && machines() === 0;
  await until(300_000, "no instance", none, sampleInterval);
  const ca = readFileSync(join(home, "gateway-ca.pem"));
  const began = performance.now();
  const now = () => (performance.now() - began) / 1000;
  const [visits, samples, failures]: [Visit[], Sample[], string[]] = [[], [], []];
  let under = 0;
  const watching = new AbortController();
  const watched = (async () => {
    while (!watching.signal.aborted) {
      samples.push({ at: now(), instances: await instances(), machines: machines(), requests: under });
      await pause(sampleInterval);
    }
  })();
  await pause(3_000);
  const [from, to] = [now(), now() + seconds];
  const agent = new Agent({ keepAlive: true, maxSockets: requests });
  await Promise.all(
    Array.from({ length: requests }, async () => {
      while (now() < to) {
        const at = now();
        under++;
        await visit(domain, ca, agent).then(
          () => visits.push({ at, seconds: now() - at }),
          (error: unknown) => failures.push(String(error)),
        );
        under--;
      }
    }),
  );
  agent.destroy();
  const ended = now();
  await until(300_000, "no instance", none, sampleInterval);
  const zero = now();
  await pause(2_000);
  watching.abort();
  await watched;
  await writeFile(values.out, picture(samples, visits, { requests, from, to: ended }));
  const first = visits.reduce((least, { at, seconds: took }) => Math.min(least, at + took), Infinity);
  // When all instances that the load wants are there.
  const most = Math.max(...samples.map((sample) => sample.instances));
  const all = samples.find((sample) => sample.instances === most)!.at;
  const late = visits.filter(({ at }) => at > to - seconds / 3).map((one) => one.seconds * 1000);
  report({
    answers: visits.length,
    failed: failures.length,
    "first answer after, s": first - from,
    "most instances": most,
    "all of them started after, s": all - from,
    "last third: p50, ms": quantiles(late).p50,
    "last third: p99, ms": quantiles(late).p99,
    "last third: requests a second": late.length / (seconds / 3),
    "no machine in the process list after the last request, s": zero - ended,
    picture: values.out,
  });
  for (const failure of failures.slice(0, 5)) console.error(failure);
  if (failures.length > 0) process.exitCode = 1;
} finally {
  await platform.stop(30_000);
  await rm(home, { recursive: true, force: true });
}
