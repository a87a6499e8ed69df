/** A proxy with its worker, one guest, and upstreams on loopback that the configuration maps names to. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type RequestListener, type Server as HttpServer } from "node:http";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { configSchema, type EgressEvent, type EgressPolicy, type SecretBinding } from "@caisson/protocol";
import { pino } from "pino";
import { createAuthority } from "../authority/authority.ts";
import { createEgressGuard, type SupervisedEgressGuard } from "../supervisor/guard.ts";
import { Guest } from "./guest.ts";

/** Signs the upstreams; trusted by the proxies of `startHarness`. */
export const upstreamAuthority = await createAuthority("Upstream test authority");

export interface Upstream {
  readonly port: number;
  close(): Promise<void>;
}

async function listen(server: Server | HttpServer | Http2SecureServer): Promise<Upstream> {
  const sockets = new Set<{ destroy(): void }>();
  server.on("connection", (socket: { destroy(): void; once(event: string, listener: () => void): void }) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** HTTPS for these names. */
export async function startHttps(
  names: readonly string[],
  listener: RequestListener,
): Promise<Upstream & { server: HttpServer }> {
  const server = createHttpsServer(
    { ...(await upstreamAuthority.issue(names)), ALPNProtocols: ["http/1.1"] },
    listener,
  );
  return { ...(await listen(server)), server };
}

export async function startHttp(listener: RequestListener): Promise<Upstream> {
  return await listen(createHttpServer(listener));
}

export async function startHttp2(
  names: readonly string[],
  setUp: (server: Http2SecureServer) => void,
): Promise<Upstream> {
  const server = createSecureServer(await upstreamAuthority.issue(names));
  setUp(server);
  return await listen(server);
}

export async function startTcp(server: Server): Promise<Upstream> {
  return await listen(server);
}

export interface HarnessOptions {
  readonly policy?: EgressPolicy;
  readonly secrets?: readonly SecretBinding[];
  readonly resolve?: Readonly<Record<string, string>>;
  readonly allowRanges?: readonly string[];
  readonly upstreamProxy?: string;
  readonly trustUpstreams?: boolean;
  readonly authoritySeed?: Uint8Array;
  readonly workers?: number;
  readonly maxBytesOutPerHost?: number;
  readonly nameServers?: readonly string[];
  readonly answerTimeoutSeconds?: number;
}

export class Harness {
  readonly guard: SupervisedEgressGuard;
  readonly guest: Guest;
  readonly directory: string;
  readonly events: EgressEvent[] = [];
  readonly sandboxId: string;

  constructor(guard: SupervisedEgressGuard, guest: Guest, directory: string, sandboxId: string) {
    this.guard = guard;
    this.guest = guest;
    this.directory = directory;
    this.sandboxId = sandboxId;
    guard.onEvents((events) => void this.events.push(...events));
  }

  /** The first event that fits, waiting for it a while. */
  async event(fits: (event: EgressEvent) => boolean): Promise<EgressEvent> {
    for (let tries = 0; tries < 300; tries++) {
      const event = this.events.find(fits);
      if (event !== undefined) return event;
      await sleep(10);
    }
    throw new Error(`No such event among ${JSON.stringify(this.events, undefined, 1)}`);
  }

  async refusal(rule: string): Promise<EgressEvent> {
    return await this.event((event) => event.rule === rule && event.verdict !== "allowed");
  }

  async close(): Promise<void> {
    await this.guard.close();
    await this.guest.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const directory = await mkdtemp(join(tmpdir(), "caisson-egress-"));
  const caFile = join(directory, "upstream-ca.pem");
  await writeFile(caFile, upstreamAuthority.certificatePem);
  const { egress: config } = configSchema.parse({
    egress: {
      resolve: options.resolve ?? {},
      allowRanges: options.allowRanges ?? [],
      ...(options.upstreamProxy !== undefined && { upstreamProxy: options.upstreamProxy }),
      ...(options.trustUpstreams !== false && { extraCa: [caFile] }),
      ...(options.workers !== undefined && { workers: options.workers }),
      ...(options.answerTimeoutSeconds !== undefined && { answerTimeoutSeconds: options.answerTimeoutSeconds }),
      ...(options.maxBytesOutPerHost !== undefined && { maxBytesOutPerHost: options.maxBytesOutPerHost }),
    },
  });
  const log = pino({ level: process.env["CAISSON_TEST_LOG"] ?? "silent" }, pino.destination(2));
  const guard = createEgressGuard({
    config,
    log,
    ...(options.authoritySeed && { authoritySeed: options.authoritySeed }),
    ...(options.nameServers && { nameServers: options.nameServers }),
  });
  const socketPath = join(directory, "egress.sock");
  const guest = await Guest.listen(socketPath);
  const sandboxId = `sbx_ord_${randomBytes(8).toString("hex")}`;
  const harness = new Harness(guard, guest, directory, sandboxId);
  try {
    const { caCertificatePem } = await guard.attach({
      sandboxId,
      socketPath,
      policy: options.policy ?? {},
      secrets: options.secrets ?? [],
    });
    guest.ca = caCertificatePem;
    return harness;
  } catch (error) {
    await harness.close();
    throw error;
  }
}

/** A secret with a random value. */
export function makeSecret(hosts: readonly string[], more: Partial<SecretBinding> = {}): SecretBinding {
  return {
    name: "API_KEY",
    placeholder: `caisson-secret-${randomBytes(16).toString("hex")}`,
    value: `sk-live-${randomBytes(20).toString("base64url")}`,
    hosts,
    ...more,
  };
}
