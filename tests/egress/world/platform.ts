/** The platform of a test file, with names of its own choosing on the host's side, and what it recorded. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPlatform, type PlatformProcess } from "@caisson/testing";
import type { EgressEvent } from "@caisson/protocol";
import { createTestAuthority, type TestAuthority } from "./authority.ts";

export interface EgressPlatform extends PlatformProcess {
  readonly authority: TestAuthority;
  /** Everything recorded about a sandbox so far, oldest first. */
  audit(sandboxId: string): Promise<EgressEvent[]>;
}

export interface EgressPlatformOptions {
  readonly authority?: TestAuthority;
  /** Added to the configuration's `egress`. */
  readonly egress?: Record<string, unknown>;
  /** Added to its `serving`. */
  readonly serving?: Record<string, unknown>;
  /** A program and arguments in front of the platform's own, which it must replace itself with. */
  readonly launcher?: readonly string[];
}

/** Puts the client variables into `process.env`, so that the official client finds it. No pool: every test makes few sandboxes. */
export async function startEgressPlatform(options: EgressPlatformOptions = {}): Promise<EgressPlatform> {
  const authority = options.authority ?? (await createTestAuthority());
  const directory = await mkdtemp(join(tmpdir(), "csn-ca-"));
  const ca = join(directory, "ca.pem");
  await writeFile(ca, authority.certificatePem);
  const platform = await startPlatform({
    config: {
      pool: { size: 0 },
      logLevel: "debug",
      egress: { extraCa: [ca], ...options.egress },
      serving: { ...options.serving },
    },
    ...(options.launcher !== undefined && { launcher: options.launcher }),
  });
  Object.assign(process.env, platform.env);
  return {
    ...platform,
    authority,
    audit: (sandboxId) => readAudit(platform, sandboxId),
    async stop(limit) {
      const end = await platform.stop(limit);
      await rm(directory, { recursive: true, force: true });
      return end;
    },
  };
}

const page = 500;

async function readAudit({ env }: PlatformProcess, sandboxId: string): Promise<EgressEvent[]> {
  const events: (EgressEvent & { id: string })[] = [];
  for (;;) {
    const query = new URLSearchParams({ sandbox: sandboxId, limit: String(page) });
    const last = events.at(-1);
    if (last !== undefined) query.set("cursor", last.id);
    const answer = await fetch(`${env.DENO_DEPLOY_ENDPOINT}/api/v1/audit?${query.toString()}`, {
      headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
      signal: AbortSignal.timeout(10_000),
    });
    if (!answer.ok) throw new Error(`The audit answered ${answer.status}: ${await answer.text()}`);
    const next = (await answer.json()) as (EgressEvent & { id: string })[];
    events.push(...next);
    if (next.length < page) return events.toReversed();
  }
}
