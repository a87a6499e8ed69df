/** Deploys files by the official client, and waits for their end. */
import type { Client } from "@deno/sandbox";
import { until } from "@caisson/testing";

export interface Revision {
  readonly id: string;
  readonly status: string;
  readonly failure_reason: string | null;
  readonly failure_message: string | null;
}

/** Begins it. @param files contents, by path @param also what the request has besides */
export async function beginAssets(
  client: Client,
  app: string,
  files: Readonly<Record<string, string>>,
  also: object,
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

export async function deployAssets(...request: Parameters<typeof beginAssets>): Promise<Revision> {
  const id = await beginAssets(...request);
  return ended(request[0], id);
}

/** Of the first timeline. */
export async function addressOf(client: Client, id: string): Promise<string> {
  const [timeline] = (await client.revisions.timelines(id)) as unknown as { domains: { domain: string }[] }[];
  return timeline!.domains[0]!.domain;
}

/** The lines of a build, each with its stage in front. */
export async function buildLog(client: Client, id: string): Promise<string> {
  const lines = client.revisions.buildLogs(id) as unknown as AsyncIterable<{ step: string; message: string }>;
  return (await Array.fromAsync(lines)).map(({ step, message }) => `${step}: ${message}`).join("\n");
}
