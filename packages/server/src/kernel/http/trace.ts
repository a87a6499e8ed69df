import { randomBytes } from "node:crypto";

export const traceHeader = "x-deno-trace-id";

/** The id that ties a client's error message to our log. Made here: one from outside could forge log lines. */
export function newTraceId(): string {
  return randomBytes(16).toString("hex");
}
