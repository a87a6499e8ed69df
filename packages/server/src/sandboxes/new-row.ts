/** What a create request becomes: the row of the sandbox, and its secrets. */
import type { CreateRequest } from "./create-request.ts";
import { networkColumn } from "./network.ts";
import type { SandboxRow } from "./store.ts";

export function newRow(
  id: string,
  orgId: string,
  nodeId: string,
  request: CreateRequest,
  { region, writableBytes }: { readonly region: string; readonly writableBytes: number },
): SandboxRow {
  return {
    id,
    org_id: orgId,
    phase: "creating",
    node_id: nodeId,
    region,
    labels: JSON.stringify(request.labels),
    memory: request.memory,
    writable_bytes: writableBytes,
    session: request.session ? 1 : 0,
    allow_net: request.allowNet === undefined ? null : JSON.stringify(request.allowNet),
    network: networkColumn(request.network),
    created_at: Date.now(),
    stop_at: request.stopAt,
    stopped_at: null,
    reason: null,
  };
}

/** Clients send null for what they leave out. */
export function withoutNulls(secrets: CreateRequest["secrets"]) {
  return Object.fromEntries(
    Object.entries(secrets).map(([name, { value, hosts, inBody, methods, pathPrefixes }]) => [
      name,
      {
        value,
        hosts,
        inBody: inBody ?? undefined,
        methods: methods ?? undefined,
        pathPrefixes: pathPrefixes ?? undefined,
      },
    ]),
  );
}
