/** Wires the roles, all in one process: node, gateway, server. Starts in that order, ends in the reverse one. */
import { join } from "node:path";
import type { Config } from "@caisson/protocol";
import { createServer, loadKey } from "@caisson/server";
import type { Logger } from "pino";
import { writeEnvironment } from "./home.ts";
import { openGateway } from "./roles/gateway.ts";
import { openNode } from "./roles/node.ts";

export interface PlatformOptions {
  readonly home: string;
  readonly cache: string;
  readonly config: Config;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface Platform {
  /** One line that begins with `caisson ready`. */
  readonly readyLine: string;
  /** Lines to paste into a shell. */
  readonly example: string;
  /** Ends every sandbox and gives everything back. */
  close(): Promise<void>;
}

export async function startPlatform({ home, cache, config, log, signal }: PlatformOptions): Promise<Platform> {
  const started = performance.now();
  const undo: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).toReversed()) {
      await step().catch((error: unknown) => log.error({ err: error }, "a part did not stop cleanly"));
    }
  };
  try {
    const seed = await loadKey(join(home, "secret.key"));
    const host = await openNode({ home, cache, config, seed, log });
    undo.push(() => host.close());
    const { node } = host;
    const gateway = await openGateway({ home, config, seed, log: log.child({ part: "gateway" }) });
    const server = await createServer({
      home,
      config,
      node,
      gateway: gateway.http,
      databaseUrl: process.env["DATABASE_URL"],
      log: log.child({ part: "server" }),
      signal,
    });
    undo.push(() => server.close());
    const { url } = await server.listen({ host: config.host, port: config.port });
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
    await close();
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
      await using sandbox = await Sandbox.create();
      await sandbox.sh\`uname -a\`;
    '
`;
}
