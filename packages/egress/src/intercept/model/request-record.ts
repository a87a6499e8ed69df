/** The record of one request, completed once. */
import type { EgressVerdict } from "@caisson/protocol";
import type { HttpConnection } from "./http-connection.ts";
import type { GuestRequest } from "./guest.ts";

export interface RequestOutcome {
  readonly verdict: EgressVerdict;
  readonly rule: string;
  readonly status?: number;
  readonly detail?: string;
}

export interface RequestRecord {
  bytesOut: number;
  bytesIn: number;
  address: string | undefined;
  secrets: () => readonly string[];
  /** The first call counts. */
  done(outcome: RequestOutcome): void;
}

/**
 * @param held released once, when the record is completed. An object, not a closure of the caller: a closure would keep the caller's
 * variables alive as long as the record, and cost a quarter more time per request.
 */
export function requestRecord(
  connection: HttpConnection,
  request: GuestRequest,
  held?: { release(): void },
): RequestRecord {
  const { principal, id, host, port } = connection;
  const at = Date.now();
  const began = performance.now();
  let over = false;
  const record: RequestRecord = {
    bytesOut: 0,
    bytesIn: 0,
    address: undefined,
    secrets: () => [],
    done(outcome) {
      if (over) return;
      over = true;
      held?.release();
      const secrets = record.secrets();
      principal.record({
        kind: "request",
        at,
        connection: id,
        host: host.text,
        port,
        ...(record.address !== undefined && { address: record.address }),
        protocol: request.protocol,
        method: request.method,
        // The query may hold anything; the path is recorded as the guest wrote it, placeholders and all.
        path: request.target.replace(/^https?:\/\/[^/?#]*/i, "").split(/[?#]/, 1)[0]!,
        bytesOut: record.bytesOut,
        bytesIn: record.bytesIn,
        durationMs: Math.round(performance.now() - began),
        ...(secrets.length > 0 && { secrets }),
        ...outcome,
      });
    },
  };
  return record;
}
