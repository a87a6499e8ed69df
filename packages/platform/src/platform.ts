/** Wires the roles, all in one process: node, gateway, server. Starts in that order, ends in the reverse one. */
import type { Config } from "@caisson/protocol";
import { createServer } from "@caisson/server";
import type { Logger } from "pino";
import { writeEnvironment } from "./home.ts";
import { loadIdentity } from "./identity.ts";
import { openGateway } from "./roles/gateway.ts";
import { openNode } from "./roles/node.ts";

export interface PlatformOptions {
  readonly home: string;
  readonly cache: string;
  readonly config: Config;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** What happens to sandboxes with a duration: they end, or they run on for the next process. */
export type Sandboxes = "end" | "leave";

export interface Platform {
  /** One line that begins with `caisson ready`. */
  readonly readyLine: string;
  /** Lines to paste into a shell. */
  readonly example: string;
  close(sandboxes: Sandboxes): Promise<void>;
}

/**
 * A start that fails leaves the sandboxes of a former process running, for the next start.
 * @param options.signal gives the start up. Its reason may be `end` or `leave`; default `leave`
 * @throws CaissonError the first failure of a part
 */
export async function startPlatform({ home, cache, config, log, signal }: PlatformOptions): Promise<Platform> {
  const started = performance.now();
  const undo: ((sandboxes: Sandboxes) => Promise<unknown>)[] = [];
  const close = async (sandboxes: Sandboxes) => {
    for (const step of undo.splice(0).toReversed()) {
      await step(sandboxes).catch((error: unknown) => log.error({ err: error }, "a part did not stop cleanly"));
    }
  };
  try {
    const databaseUrl = process.env["DATABASE_URL"];
    const { nodeId, key } = await loadIdentity({ home, databaseUrl, log });
    const host = await openNode({ home, cache, config, nodeId, seed: key, log });
    undo.push((sandboxes) => host.close(sandboxes));
    const { node } = host;
    const gateway = await openGateway({ home, config, seed: key, log: log.child({ part: "gateway" }) });
    const server = await createServer({
      home,
      config,
      key,
      node,
      gateway: gateway.http,
      ssh: gateway.ssh,
      databaseUrl,
      log: log.child({ part: "server" }),
      signal,
    });
    undo.push((sandboxes) => server.close(sandboxes));
    const { url } = await server.start({ host: config.host, port: config.port });
    const endpoint = config.publicUrl?.replace(/\/$/, "") ?? url;
    const environment = await writeEnvironment(home, {
      DENO_DEPLOY_ENDPOINT: endpoint,
      DENO_SANDBOX_ENDPOINT: endpoint,
      DENO_DEPLOY_TOKEN: server.development.token,
      DENO_DEPLOY_ORG: server.development.org,
      CAISSON_URL: url,
      CAISSON_PID: String(process.pid),
      ...(gateway.authority !== undefined && { CAISSON_GATEWAY_CA: gateway.authority }),
    });
    const { accelerator, pooled } = await node.status();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    return {
      readyLine: `caisson ready at ${endpoint} (${accelerator}, ${pooled} clones pooled, ${seconds} s)`,
      example: example(environment),
      close,
    };
  } catch (error) {
    await close(signal.reason === "end" ? "end" : "leave");
    throw error;
  }
}

function example(environment: string): string {
  return `
  In another terminal:

    . ${environment}
    npm install @deno/sandbox
    node --input-type=module -e '
      import { Sandbox } from "@deno/sandbox";
      const sandbox = await Sandbox.create();
      await sandbox.sh\`uname -a\`;
      await sandbox.kill();
    '
`;
}
