/** Logins by SSH in the audit, the metrics and the usage of their organisation. */
import type { SshGateway, SshLogin } from "@caisson/protocol";
import { Counter, type Registry } from "prom-client";
import type { AuditRecord } from "../audit/index.ts";
import type { UsageMeter } from "../usage/index.ts";
import type { Workloads } from "../workloads/index.ts";
import { sshEvent } from "./audit-event.ts";

export interface RecordOptions {
  readonly ssh: SshGateway;
  readonly metrics: Registry;
  readonly workloads: Workloads;
  readonly usage: UsageMeter;
  readonly audit: { record(orgId: string, event: AuditRecord): void };
}

export function recordVisits({ ssh, metrics, workloads, usage, audit }: RecordOptions): void {
  const counter = new Counter({
    name: "caisson_ssh_logins_total",
    help: "Logins by SSH.",
    labelNames: ["result"],
    registers: [metrics],
  });
  /** By connection: when it ends, its sandbox may be forgotten already. */
  const orgs = new Map<string, string>();
  ssh.onLogin((login) => {
    counter.inc({ result: login === undefined ? "refused" : "accepted" });
    const orgId = login === undefined ? undefined : workloads.orgOf(login.workloadId);
    if (login === undefined || orgId === undefined) return;
    orgs.set(login.connection, orgId);
    audit.record(orgId, eventOf(login, "ssh-login", login.at, describe(login)));
  });
  ssh.onVisit((visit) => {
    const orgId = orgs.get(visit.connection);
    orgs.delete(visit.connection);
    if (orgId === undefined) return;
    const { workloadId, bytesIn, bytesOut, durationMs, sessions, forwarded } = visit;
    usage.countTraffic({ workloadId, orgId, bytesIn, bytesOut });
    const detail = `${describe(visit)}, ${sessions} sessions, ${forwarded} forwarded connections`;
    const event = eventOf(visit, "ssh-end", visit.at + durationMs, detail);
    audit.record(orgId, { ...event, bytesIn, bytesOut, durationMs });
  });
}

function describe({ userHash, key, client }: SshLogin): string {
  return `user name sha256:${userHash}, ${key === undefined ? "" : `key ${key}, `}client ${client}`;
}

function eventOf(login: SshLogin, rule: string, at: number, detail: string): AuditRecord {
  const { workloadId: sandboxId, connection, address: host, port } = login;
  return sshEvent({ at, rule, detail, sandboxId, connection, host, port });
}
