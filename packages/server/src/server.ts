/** Builds the control plane from its parts, starts it, and ends it in the reverse order. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { PreviewGateway } from "@caisson/protocol";
import { Tokens } from "./auth/tokens.ts";
import type { ServerContext } from "./http/context.ts";
import { HttpListener } from "./http/listener.ts";
import { AuditLog } from "./lifecycle/audit-log.ts";
import { repeat, type Repetition } from "./lifecycle/repeat.ts";
import { closeCodes, Sandboxes } from "./lifecycle/sandboxes.ts";
import { UsageMeter } from "./lifecycle/usage-meter.ts";
import { Metrics } from "./metrics.ts";
import type { CaissonServer, ServerOptions } from "./options.ts";
import { Previews } from "./previews/previews.ts";
import { AuditStore } from "./store/audit.ts";
import { openDatabase } from "./store/open.ts";
import { PreviewStore } from "./store/previews.ts";
import { SandboxStore } from "./store/sandboxes.ts";
import { createSealer, loadKey } from "./store/sealing.ts";
import { SecretStore } from "./store/secrets.ts";
import { Volumes } from "./volumes/index.ts";

/** Milliseconds between looks for sandboxes whose time is over. */
const sweepInterval = 500;
const usageInterval = 30_000;
const retentionInterval = 3600_000;
const day = 24 * 3600_000;
/** Opens the store and brings it in line with what runs. @throws CaissonError when that is not possible */
export async function createServer(options: ServerOptions): Promise<CaissonServer> {
  const { home, config, node, egress, gateway, layers, baseImage, databaseUrl, log, signal } = options;
  const db = await openDatabase({ home, url: databaseUrl, log });
  try {
    const sealer = createSealer(await loadKey(join(home, "secret.key")));
    const tokens = new Tokens(db);
    const development = await tokens.development(sealer, config.limits.developmentConcurrentSandboxes);
    const sandboxStore = new SandboxStore(db, { lockRows: databaseUrl !== undefined });
    const auditStore = new AuditStore(db);
    const extraCa = await Promise.all(config.egress.extraCa.map((path) => readFile(path, "utf8")));
    const volumes: Volumes = new Volumes({
      db,
      lockRows: databaseUrl !== undefined,
      layers,
      config,
      baseImage,
      machine: (id) => node.get(id),
      ending: (id) => sandboxes.ending(id),
      stand: (disk, options) => node.stand(disk, options),
      log,
    });
    const sandboxes: Sandboxes = new Sandboxes({
      config,
      node,
      egress,
      volumes,
      store: sandboxStore,
      secrets: new SecretStore(db, sealer),
      extraCa,
      log,
    });
    const previews = new Previews({
      store: new PreviewStore(db),
      gateway,
      namesPerSandbox: config.gateway.namesPerSandbox,
    });
    const meter = new UsageMeter(db, log);
    const audit = new AuditLog(auditStore, log);
    const metrics = new Metrics(sandboxes, node);
    sandboxes.onEnding((sandbox) => previews.release(sandbox.id));
    sandboxes.onEnding((sandbox) => meter.finish(sandbox));
    egress.onEvent((event) => {
      metrics.egress.inc({ kind: event.kind, verdict: event.verdict, rule: event.rule });
      const orgId = sandboxes.orgOf(event.sandboxId);
      if (orgId === undefined) return;
      // What requests carried is part of what their connection did.
      if (event.kind === "connection")
        meter.countTraffic({ ...event, orgId, live: sandboxes.get(event.sandboxId) !== undefined });
      audit.record(orgId, event);
    });
    gateway?.onVisit(({ sandboxId, kind, status, bytesIn, bytesOut }) => {
      metrics.visits.inc({ kind, status: status < 200 ? status : `${Math.floor(status / 100)}xx` });
      const orgId = sandboxes.orgOf(sandboxId);
      if (orgId === undefined) return;
      meter.countTraffic({ sandboxId, orgId, bytesIn, bytesOut, live: sandboxes.get(sandboxId) !== undefined });
    });
    await volumes.prepare();
    await sandboxes.reconcile(signal);
    await previews.restore((id) => sandboxes.get(id));
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
      previews,
      sandboxStore,
      auditStore,
      audit,
      metrics,
      log,
      publicUrl: () => url,
    };
    const http = new HttpListener(context);
    return {
      development,
      listen: async (address) => {
        await gateway?.listen(previews);
        const local = await http.listen(address);
        url = config.publicUrl?.replace(/\/+$/, "") ?? local;
        return { url: local };
      },
      close: (what = "end") => close({ http, gateway, sandboxes, volumes, repetitions, audit, db, what }),
    };
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

interface Closing {
  readonly http: HttpListener;
  readonly gateway: PreviewGateway | undefined;
  readonly sandboxes: Sandboxes;
  readonly volumes: Volumes;
  readonly repetitions: readonly Repetition[];
  readonly audit: AuditLog;
  readonly db: { destroy(): Promise<void> };
  readonly what: "end" | "leave";
}

async function close({ http, gateway, sandboxes, volumes, repetitions, audit, db, what }: Closing): Promise<void> {
  http.refuse();
  await gateway?.close();
  await Promise.all(repetitions.map((repetition) => repetition.stop()));
  await sandboxes.close(what);
  await http.close();
  await volumes.close();
  await audit.close();
  await db.destroy();
}
