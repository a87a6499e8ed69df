/** @module Egress events and logins by SSH: recorded, read in pages, and as a live stream. */
import { setTimeout as sleep } from "node:timers/promises";
import type { SandboxNode } from "@caisson/protocol";
import type { Logger } from "pino";
import { Counter } from "prom-client";
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { usageService, type UsageMeter } from "../usage/index.ts";
import { workloads as workloadsService, type Workloads } from "../workloads/index.ts";
import { LiveStreams } from "./live-streams.ts";
import { AuditLog } from "./log.ts";
import { sandboxIndex } from "./migrations.ts";
import { auditRoutes } from "./routes.ts";
import { AuditStore } from "./store.ts";

/** Milliseconds. */
const flushInterval = 250;
const retentionInterval = 60_000;
const retryAfter = 1000;
const day = 24 * 3600_000;

export type { AuditRecord } from "./store.ts";

/** Where other slices record what they see. */
export const auditService = serviceKey<Pick<AuditLog, "record">>("audit");

export const auditSlice: Slice = {
  name: "audit",
  migrations: { "2026-12-02-audit-index": { up: sandboxIndex } },
  setup({ db, config, node, metrics, log, services, publicUrl }) {
    const store = new AuditStore(db);
    const { auditEventsPerMinute: perMinute, auditEventsPerOrganisation, auditRetentionDays } = config.egress;
    const audit = new AuditLog({ store, log, perMinute });
    services.provide(auditService, audit);
    const streams = new LiveStreams(audit, config.limits.auditStreams);
    const counter = new Counter({
      name: "caisson_egress_events_total",
      help: "Connections and requests out of sandboxes.",
      labelNames: ["kind", "verdict", "rule"],
      registers: [metrics],
    });
    const stopped = new AbortController();
    let reading: Promise<void> | undefined;
    let first = true;
    const workloads = services.use(workloadsService);
    const read = { node, audit, counter, workloads, usage: services.use(usageService), log, signal: stopped.signal };
    return {
      routes: auditRoutes({ audit, store, streams, publicUrl }),
      background: [
        { name: "writing audit events", interval: flushInterval, run: () => audit.write() },
        {
          name: "removing old audit events",
          interval: retentionInterval,
          run: async (signal) => {
            await store.removeBefore(Date.now() - auditRetentionDays * day, signal);
            const orgs = first ? await db.selectFrom("orgs").select("id").execute() : [];
            first = false;
            await store.removeBeyond(
              auditEventsPerOrganisation,
              orgs.map(({ id }) => String(id)),
              signal,
            );
          },
        },
      ],
      start: async () => {
        reading = readOn(read);
      },
      stop: async () => {
        stopped.abort();
        await reading;
        audit.summarise({ all: true });
        await audit.flush();
      },
    };
  },
};

interface Reading {
  readonly node: SandboxNode;
  readonly audit: AuditLog;
  readonly counter: Counter<"kind" | "verdict" | "rule">;
  readonly workloads: Workloads;
  readonly usage: UsageMeter;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Reads until the server stops. After a failure it begins again: what nobody reads is lost. */
async function readOn(reading: Reading): Promise<void> {
  const { log, signal } = reading;
  while (!signal.aborted) {
    try {
      await readEvents(reading);
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, "egress events could not be read; trying again");
    }
    await sleep(retryAfter, undefined, { signal }).catch(() => {});
  }
}

async function readEvents({ node, audit, counter, workloads, usage, log, signal }: Reading): Promise<void> {
  for await (const { events, lost } of node.egressEvents({ signal })) {
    if (lost > 0) log.warn({ lost }, "egress events were dropped: too many arrived at once");
    for (const event of events) {
      counter.inc({ kind: event.kind, verdict: event.verdict, rule: event.rule });
      const { sandboxId: workloadId, bytesIn, bytesOut } = event;
      const orgId = workloads.orgOf(workloadId);
      if (orgId === undefined) continue;
      // The bytes of requests are part of the bytes of their connection.
      if (event.kind === "connection") usage.countTraffic({ workloadId, orgId, bytesIn, bytesOut });
      audit.record(orgId, event);
    }
  }
}
