/** Deploys files by the official client, waits for the end, and asks the server about its apps. */
import type { Client } from "@deno/sandbox";
import { until } from "@caisson/testing";

export interface Revision {
  readonly id: string;
  readonly status: string;
  readonly failure_reason: string | null;
  readonly failure_message: string | null;
}

/** Begins it. @param files contents, by path @param also what the request has besides. Default: to production */
export async function beginAssets(
  client: Client,
  app: string,
  files: Readonly<Record<string, string>>,
  also: object = {},
): Promise<string> {
  const assets = Object.fromEntries(
    Object.entries(files).map(([path, content]) => [path, { kind: "file", encoding: "utf-8", content }]),
  );
  const revision = await client.apps.deploy(app, { assets, production: true, ...also } as never);
  return (revision as unknown as Revision).id;
}

/** @param limit milliseconds */
export function ended(client: Client, id: string, limit = 600_000): Promise<Revision> {
  return until(
    limit,
    "the end of the deployment",
    async () => {
      const revision = (await client.revisions.get(id)) as unknown as Revision;
      return ["succeeded", "failed"].includes(revision.status) ? revision : undefined;
    },
    250,
  );
}

/** @returns when the deployment has ended, well or not */
export async function deployAssets(...request: Parameters<typeof beginAssets>): Promise<Revision> {
  const id = await beginAssets(...request);
  return ended(request[0], id);
}

/** A program of one file, to production. */
export function deployProgram(client: Client, app: string, code: string): Promise<Revision> {
  return deployAssets(client, app, { "main.ts": code });
}

/** Host and port where a timeline serves it. */
export async function addressOf(client: Client, id: string, timeline = "production"): Promise<string> {
  const all = (await client.revisions.timelines(id)) as unknown as { slug: string; domains: { domain: string }[] }[];
  const found = all.find(({ slug }) => slug === timeline);
  if (found === undefined)
    throw new Error(`${id} is not in ${timeline}, only in ${all.map(({ slug }) => slug).join()}.`);
  return found.domains[0]!.domain;
}

/** The lines of a build, each with its stage in front. */
export async function buildLog(client: Client, id: string): Promise<string> {
  const lines = client.revisions.buildLogs(id) as unknown as AsyncIterable<{ step: string; message: string }>;
  return (await Array.fromAsync(lines)).map(({ step, message }) => `${step}: ${message}`).join("\n");
}

export interface ServerAddress {
  readonly DENO_DEPLOY_ENDPOINT: string;
  readonly DENO_DEPLOY_TOKEN: string;
}

/** A call of the API that the clients do not know. @throws Error when it is refused */
export async function call(env: ServerAddress, method: string, path: string, body?: unknown): Promise<string> {
  const response = await fetch(`${env.DENO_DEPLOY_ENDPOINT}${path}`, {
    method,
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text;
}

/** Value of a metric without labels. */
export async function metric(env: ServerAddress, name: string): Promise<number> {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(await call(env, "GET", "/metrics"))?.[1]);
}

/** Waits until a build that goes on has written this line. @throws Error when it ends before */
export async function buildSays(client: Client, id: string, line: string, limit = 600_000): Promise<void> {
  let said = false;
  const lines = client.revisions.buildLogs(id) as unknown as AsyncIterable<{ message: string }>;
  const reading = (async () => {
    for await (const { message } of lines) if ((said ||= message === line)) return;
    throw new Error(`The build ended and never wrote ${JSON.stringify(line)}.`);
  })();
  await Promise.race([reading, until(limit, `the line ${JSON.stringify(line)}`, () => (said ? true : undefined))]);
}
