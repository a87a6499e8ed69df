/** The record of one request, completed once. */
import type { EgressVerdict } from "@caisson/protocol";
import type { Conversation } from "./http-connection.ts";
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
 * @param held released once, with the completion. No function that the caller makes for it: that would hold on to all that the caller
 * knows for as long as the record is held, and a fourth more time per request went into collecting it.
 */
export function requestRecord(
  conversation: Conversation,
  request: GuestRequest,
  held?: { release(): void },
): RequestRecord {
  const { principal, connection, host, port } = conversation;
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
        connection,
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
