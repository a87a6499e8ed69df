/** Builds the control plane from its parts, starts it, and ends it in the reverse order. */
import { createServer as createHttpServer, type IncomingMessage, type Server } from "node:http";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { getRequestListener } from "@hono/node-server";
import { CaissonError } from "@caisson/protocol";
import { Tokens } from "./auth/tokens.ts";
import { createApp } from "./http/app.ts";
import type { ServerContext } from "./http/context.ts";
import { Upgrades } from "./http/upgrade.ts";
import { AuditLog } from "./lifecycle/audit-log.ts";
import { repeat, type Repetition } from "./lifecycle/repeat.ts";
import { closeCodes, Sandboxes } from "./lifecycle/sandboxes.ts";
import { UsageMeter } from "./lifecycle/usage-meter.ts";
import { Metrics } from "./metrics.ts";
import type { CaissonServer, ServerOptions } from "./options.ts";
import { AuditStore } from "./store/audit.ts";
import { openDatabase } from "./store/open.ts";
import { SandboxStore } from "./store/sandboxes.ts";
import { createSealer, loadKey } from "./store/sealing.ts";
import { SecretStore } from "./store/secrets.ts";
import { Volumes } from "./volumes/index.ts";

/** Milliseconds between looks for sandboxes whose time is over. */
const sweepInterval = 500;
const usageInterval = 30_000;
const retentionInterval = 3600_000;
const day = 24 * 3600_000;
/** Headers hold the configuration of a new sandbox with its secrets, bytes. */
const maxHeaderSize = 512 * 1024;

const httpOptions = {
  maxHeaderSize,
  requestTimeout: 60_000,
  headersTimeout: 20_000,
  // Some HTTP clients offer h2c with every request; without this each offer would be taken for a WebSocket.
  shouldUpgradeCallback: (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() === "websocket",
};

/** Opens the store and brings it in line with what runs. @throws CaissonError when that is not possible */
export async function createServer(options: ServerOptions): Promise<CaissonServer> {
  const { home, config, node, egress, layers, baseImage, databaseUrl, log, signal } = options;
  const db = await openDatabase({ home, url: databaseUrl, log });
  try {
    const sealer = createSealer(await loadKey(join(home, "secret.key")));
    const tokens = new Tokens(db);
    const development = await tokens.development(sealer, config.limits.developmentConcurrentSandboxes);
    const sandboxStore = new SandboxStore(db, { lockRows: databaseUrl !== undefined });
    const auditStore = new AuditStore(db);
    const extraCa = await Promise.all(config.egress.extraCa.map((path) => readFile(path, "utf8")));
    const volumes = new Volumes({
      db,
      lockRows: databaseUrl !== undefined,
      layers,
      config,
      baseImage,
      machine: (id) => node.get(id),
      ending: (id) => sandboxes.ending(id),
      log,
    });
    const sandboxes = new Sandboxes({
      config,
      node,
      egress,
      volumes,
      store: sandboxStore,
      secrets: new SecretStore(db, sealer),
      extraCa,
      log,
    });
    const meter = new UsageMeter(db, log);
    const audit = new AuditLog(auditStore, log);
    const metrics = new Metrics(sandboxes, node);
    sandboxes.onEnding((sandbox) => meter.finish(sandbox));
    egress.onEvent((event) => {
      metrics.egress.inc({ kind: event.kind, verdict: event.verdict, rule: event.rule });
      const orgId = sandboxes.orgOf(event.sandboxId);
      if (orgId === undefined) return;
      meter.countTraffic(event.sandboxId, event.bytesOut, event.bytesIn);
      audit.record(orgId, event);
    });
    await volumes.prepare();
    await sandboxes.reconcile(signal);
    await volumes.start();
    const repetitions = [
      repeat(sweepInterval, "ending overdue sandboxes", log, async () => {
        for (const id of await sandboxStore.overdue(Date.now())) {
          // Not awaited: one machine that ends slowly must not keep the others running.
          void sandboxes
            .stop(id, "timeout reached", closeCodes.ended)
            .catch((error: unknown) => log.error({ err: error, sandbox: id }, "a sandbox did not end"));
        }
      }),
      repeat(usageInterval, "measuring usage", log, () => meter.sampleAll(sandboxes.live())),
      repeat(retentionInterval, "removing old audit events", log, () =>
        auditStore.removeBefore(Date.now() - config.egress.auditRetentionDays * day),
      ),
    ];
    let url = config.publicUrl ?? `http://${config.host}:${config.port}`;
    const context: ServerContext = {
      config,
      node,
      tokens,
      sandboxes,
      volumes,
      sandboxStore,
      auditStore,
      audit,
      metrics,
      log,
      publicUrl: () => url,
    };
    const http = createHttp(context);
    return {
      development,
      listen: async (address) => {
        const local = await listen(http, address);
        url = config.publicUrl?.replace(/\/+$/, "") ?? local;
        return { url: local };
      },
      close: (what = "end") => close({ http, sandboxes, volumes, repetitions, audit, db, what }),
    };
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

function createHttp(context: ServerContext): Server {
  const app = createApp(context);
  const upgrades = new Upgrades(context);
  const serve = getRequestListener(app.fetch);
  const http = createHttpServer(httpOptions, (request, response) => void serve(request, response));
  http.on("upgrade", (request, socket, head) => {
    upgrades.handle(request, socket, head).catch((error: unknown) => {
      context.log.error({ err: error }, "an upgrade failed");
      socket.destroy();
    });
  });
  return http;
}

async function listen(http: Server, { host, port }: { host: string; port: number }): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    http.once("error", (cause: NodeJS.ErrnoException) => {
      const hint = cause.code === "EADDRINUSE" ? " Another program uses that port; set CAISSON_PORT." : "";
      reject(
        new CaissonError("unavailable", `Cannot listen on ${host} port ${port}: ${cause.message}.${hint}`, { cause }),
      );
    });
    http.listen(port, host, resolve);
  });
  const address = http.address() as AddressInfo;
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${name.includes(":") ? `[${name}]` : name}:${address.port}`;
}

interface Closing {
  readonly http: Server;
  readonly sandboxes: Sandboxes;
  readonly volumes: Volumes;
  readonly repetitions: readonly Repetition[];
  readonly audit: AuditLog;
  readonly db: { destroy(): Promise<void> };
  readonly what: "end" | "leave";
}

async function close({ http, sandboxes, volumes, repetitions, audit, db, what }: Closing): Promise<void> {
  const closed = new Promise<void>((resolve) => http.close(() => resolve()));
  await Promise.all(repetitions.map((repetition) => repetition.stop()));
  await sandboxes.close(what);
  http.closeAllConnections();
  await closed;
  await volumes.close();
  await audit.close();
  await db.destroy();
}
