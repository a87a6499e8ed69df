/** What request handlers share. */
import type { Config, SandboxNode } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Org, Tokens } from "../auth/tokens.ts";
import type { AuditLog } from "../lifecycle/audit-log.ts";
import type { Sandboxes } from "../lifecycle/sandboxes.ts";
import type { Metrics } from "../metrics.ts";
import type { Previews } from "../previews/previews.ts";
import type { AuditStore } from "../store/audit.ts";
import type { SandboxStore } from "../store/sandboxes.ts";
import type { Volumes } from "../volumes/index.ts";

export interface ServerContext {
  readonly config: Config;
  readonly node: SandboxNode;
  readonly tokens: Tokens;
  readonly sandboxes: Sandboxes;
  readonly volumes: Volumes;
  readonly previews: Previews;
  readonly sandboxStore: SandboxStore;
  readonly auditStore: AuditStore;
  readonly audit: AuditLog;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** How clients reach this server, without a trailing slash: for links. */
  readonly publicUrl: () => string;
}

/** What the middlewares add to a request. */
export interface HttpVariables {
  readonly Variables: { requestId: string; log: Logger; org: Org };
}
