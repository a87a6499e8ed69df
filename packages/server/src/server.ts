/** Builds the control plane from its slices, starts it, and ends it in the reverse order. */
import { Counter, Gauge, Registry } from "prom-client";
import { openDatabase } from "./kernel/database/open.ts";
import { createApp } from "./kernel/http/app.ts";
import { authenticator } from "./kernel/http/context.ts";
import { HttpListener } from "./kernel/http/listener.ts";
import { TokenUses } from "./kernel/http/token-uses.ts";
import { Upgrades } from "./kernel/http/upgrades.ts";
import { Gate } from "./kernel/http/gate.ts";
import { boundedLog } from "./kernel/log.ts";
import { repeat } from "./kernel/repeat.ts";
import { createSealer } from "./kernel/sealing.ts";
import { Services } from "./kernel/services.ts";
import type { Kernel, SliceParts } from "./kernel/slice.ts";
import type { CaissonServer, ServerOptions } from "./options.ts";
import { development } from "./orgs/index.ts";
import { migrations, slices } from "./slices.ts";

/** Opens the store. Nothing runs and nothing listens before `start`. @throws CaissonError when that is not possible */
export async function createServer(options: ServerOptions): Promise<CaissonServer> {
  const { home, config, key, node, gateway, ssh, databaseUrl, signal = new AbortController().signal } = options;
  const { reserveBytes } = config.database;
  const log = boundedLog(options.log);
  const db = await openDatabase({ home, url: databaseUrl, migrations, reserveBytes, log });
  const undo: (() => Promise<void>)[] = [() => db.destroy()];
  const unwind = async () => {
    for (const step of undo.splice(0).toReversed())
      await step().catch((error: unknown) => log.error({ err: error }, "a part of the server did not stop cleanly"));
  };
  try {
    let url = config.publicUrl ?? `http://${config.host}:${config.port}`;
    let machines: "end" | "leave" = "end";
    const kernel: Kernel = {
      config,
      db,
      lockRows: databaseUrl !== undefined,
      sealer: createSealer(key),
      node,
      gateway,
      ssh,
      metrics: new Registry(),
      log,
      services: new Services(),
      publicUrl: () => url,
    };
    const parts: SliceParts[] = [];
    for (const slice of slices) parts.push(await slice.setup(kernel));
    const observe = observer(kernel.metrics);
    const authentication = kernel.services.use(authenticator);
    let listening = { host: config.host, tls: config.api.cert !== undefined };
    const gate = new Gate({ config, listening: () => listening });
    const uses = new TokenUses(authentication);
    new Gauge({
      name: "caisson_http_active",
      help: "Requests and WebSockets with a valid token that are under way.",
      registers: [kernel.metrics],
      collect() {
        this.set(uses.count);
      },
    });
    const common = { gate, authenticator: authentication, uses, observe, log };
    const app = createApp({ ...common, slices: parts, publicUrl: kernel.publicUrl });
    const upgrades = new Upgrades({ ...common, routes: parts.flatMap((part) => part.upgrades ?? []) });
    const http = new HttpListener({ app, upgrades, gate, config, log });
    return {
      development: kernel.services.use(development),
      async start(address) {
        // Whatever can fail because of other programs comes first: after `start` of the slices there are machines to lose.
        for (const part of parts) {
          undo.push(async () => part.stop?.(machines));
          await part.listen?.();
        }
        listening = { ...listening, host: address.host };
        const local = await http.listen(address);
        url = config.publicUrl?.replace(/\/+$/, "") ?? local;
        for (const part of parts) {
          await part.start?.(signal);
          for (const task of part.background ?? []) {
            const repetition = repeat(task, log);
            undo.push(() => repetition.stop());
          }
        }
        const looks = repeat(uses.task, log);
        undo.push(() => looks.stop());
        http.serve();
        return { url: local };
      },
      async close(what) {
        machines = what;
        http.refuse();
        // Connections are cut when the slices have said why they end, and before the database closes.
        undo.splice(1, 0, () => http.close());
        await unwind();
      },
    };
  } catch (error) {
    await unwind();
    throw error;
  }
}

function observer(registry: Registry): (method: string, status: number) => void {
  const requests = new Counter({
    name: "caisson_http_requests_total",
    help: "HTTP requests.",
    labelNames: ["method", "status"],
    registers: [registry],
  });
  return (method, status) => requests.inc({ method, status });
}
