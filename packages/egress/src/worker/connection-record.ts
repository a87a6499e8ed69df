/** The record of one connection, completed once. */
import { randomUUID } from "node:crypto";
import type { EgressEvent, EgressVerdict } from "@caisson/protocol";

export interface ConnectionRecord {
  readonly id: string;
  address: string | undefined;
  protocol: EgressEvent["protocol"];
  bytesOut: number;
  bytesIn: number;
  /** The first call counts. */
  done(verdict: EgressVerdict, rule: string, detail?: string): void;
}

export function connectionRecord(
  record: (event: Omit<EgressEvent, "sandboxId">) => void,
  host: string,
  port: number,
): ConnectionRecord {
  const at = Date.now();
  const began = performance.now();
  let over = false;
  const connection: ConnectionRecord = {
    id: randomUUID(),
    address: undefined,
    protocol: "unknown",
    bytesOut: 0,
    bytesIn: 0,
    done(verdict, rule, detail) {
      if (over) return;
      over = true;
      record({
        kind: "connection",
        at,
        connection: connection.id,
        host,
        port,
        ...(connection.address !== undefined && { address: connection.address }),
        protocol: connection.protocol,
        verdict,
        rule,
        bytesOut: connection.bytesOut,
        bytesIn: connection.bytesIn,
        durationMs: Math.round(performance.now() - began),
        ...(detail !== undefined && { detail }),
      });
    },
  };
  return connection;
}
