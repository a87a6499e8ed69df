/** Wires the rooms: egress guard, node, gateway, server. Starts in that order, ends in the reverse one. */
import { basename, dirname, join } from "node:path";
import type { Logger } from "pino";
import { createEgressGuard } from "@caisson/egress";
import { createNode } from "@caisson/node";
import type { Config } from "@caisson/protocol";
import { createServer, loadKey } from "@caisson/server";
import { openGateway } from "./gateway.ts";
import { openLayers } from "./layers.ts";
import { writeEnvironment } from "./home.ts";
import { currentImage } from "./image.ts";

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
    // The authorities of sandboxes follow from this key: those that outlive us go on trusting the proxy.
    const authoritySeed = await loadKey(join(home, "secret.key"));
    const egress = createEgressGuard({ config: config.egress, log: log.child({ room: "egress" }), authoritySeed });
    undo.push(() => egress.close());
    const image = await currentImage(cache);
    const node = createNode({ home, cache, image, config, egress, log: log.child({ room: "node" }) });
    undo.push(() => node.close("end"));
    const gateway = await openGateway({ home, config, seed: authoritySeed, log: log.child({ room: "gateway" }) });
    const server = await createServer({
      home,
      config,
      node,
      egress,
      gateway: gateway.previews,
      layers: openLayers(home),
      // The folder is named by the recipe of the base image alone: a new kernel or agent does not matter to root file systems.
      baseImage: basename(dirname(image.base)),
      databaseUrl: process.env["DATABASE_URL"],
      log: log.child({ room: "server" }),
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
    const { accelerator, pooled } = node.status();
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
