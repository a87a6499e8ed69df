/**
 * From the first packet of a visitor to the first byte of the answer, of a hello-world that sleeps: its instance goes on from a
 * checkpoint, or starts plainly in a restored machine. Both apps on one server, in turn. `node bench/deploy-start.ts [--runs 30]`
 */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Client } from "@deno/sandbox";
import { startPlatform, until } from "@caisson/testing";
import { quantiles, report } from "./report.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "30" }, json: { type: "boolean" } } });
const runs = Number(values.runs);
const patience = 280_000;
const platform = await startPlatform({
  config: { pool: { size: 0 }, serving: { idleTimeout: 5, workTimeout: 0, checkpoints: 16 }, logLevel: "warn" },
});
Object.assign(process.env, platform.env);
const client = new Client();
const ca = readFileSync(join(platform.home, "gateway-ca.pem"));

async function metric(name: string): Promise<number> {
  const answer = await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/metrics`, {
    headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}` },
  });
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(await answer.text())?.[1]);
}

async function becomes(name: string, value: number): Promise<void> {
  await until(patience, `${name} ${value}`, async () => ((await metric(name)) === value ? true : undefined), 100);
}

/** @returns the address of a hello-world. An app with a secret variable gets no checkpoint. */
async function deploy(slug: string, secret: boolean): Promise<string> {
  await client.apps.create({ slug, env_vars: [{ key: "WORD", value: "world", secret }] });
  const content = "Deno.serve(() => new Response(`Hello ${Deno.env.get('WORD')}`));";
  const { id } = (await client.apps.deploy(slug, {
    assets: { "main.ts": { kind: "file", encoding: "utf-8", content } },
    production: true,
  } as never)) as unknown as { id: string };
  await until(
    patience,
    "the revision",
    async () => {
      const { status } = (await client.revisions.get(id)) as unknown as { status: string };
      if (status === "failed") throw new Error("The deployment failed.");
      return status === "succeeded" ? true : undefined;
    },
    250,
  );
  const timelines = (await client.revisions.timelines(id)) as unknown as {
    slug: string;
    domains: { domain: string }[];
  }[];
  return timelines.find((timeline) => timeline.slug === "production")!.domains[0]!.domain;
}

/** @returns milliseconds from the first packet to the first byte of the answer's body */
function visit(domain: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const [servername = "", port] = domain.split(":");
    const began = performance.now();
    request({ host: "127.0.0.1", port, servername, headers: { host: domain }, ca, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.once("data", () => response.statusCode === 200 && resolve(performance.now() - began));
      response.on("data", (text: string) => (body += text));
      response.on("end", () => reject(new Error(`The app answered ${response.statusCode}: ${body}`)));
    })
      .on("error", reject)
      .end();
  });
}

const samples = { checkpoint: [] as number[], plain: [] as number[] };
try {
  const domains = { checkpoint: await deploy("checkpoint", false), plain: await deploy("plain", true) };
  await becomes("caisson_app_checkpoints", 1);
  for (let index = 0; index < runs; index++) {
    for (const [name, domain] of Object.entries(domains)) {
      if (name === "checkpoint") await becomes("caisson_app_instances", 0);
      samples[name as keyof typeof samples].push(await visit(domain));
      // What the start left to do must not count against the next one.
      await sleep(500);
    }
    process.stderr.write(`\r${index + 1} of ${runs}`);
  }
  process.stderr.write("\n");
} catch (error) {
  process.stderr.write(platform.output());
  throw error;
} finally {
  await platform.stop(30_000);
}
const [checkpoint, plain] = [quantiles(samples.checkpoint), quantiles(samples.plain)];
report({
  "by checkpoint, first packet to first byte, p50 ms": checkpoint.p50,
  "by checkpoint, first packet to first byte, p99 ms": checkpoint.p99,
  "by plain start, first packet to first byte, p50 ms": plain.p50,
  "by plain start, first packet to first byte, p99 ms": plain.p99,
  "plain / checkpoint, p50": plain.p50 / checkpoint.p50,
  "plain / checkpoint, p99": plain.p99 / checkpoint.p99,
});
