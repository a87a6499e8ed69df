/** Events of SSH in the audit. */
import type { AuditRecord } from "../audit/index.ts";

type Given = Pick<AuditRecord, "at" | "rule" | "detail"> & Partial<AuditRecord>;

/** Empty in everything that is not given. */
export function sshEvent(given: Given): AuditRecord {
  return {
    kind: "ssh",
    sandboxId: "",
    connection: "",
    host: "",
    port: 0,
    protocol: "ssh",
    verdict: "allowed",
    bytesIn: 0,
    bytesOut: 0,
    durationMs: 0,
    ...given,
  };
}
