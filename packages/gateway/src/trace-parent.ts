/** Ties a request to what the program prints while it serves it (W3C Trace Context). */
import { randomBytes } from "node:crypto";
import type { HeaderList } from "@caisson/http1";

const valid = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The visitor's own `traceparent`, when there is one and it is valid, or a new one. `tracestate` goes with it. */
export function withTraceParent(headers: HeaderList): HeaderList {
  const given = headers.filter(([name]) => name === "traceparent");
  if (given.length === 1 && valid.test(given[0]![1])) return headers;
  const made = `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-01`;
  return [...headers.filter(([name]) => !/^trace(parent|state)$/.test(name)), ["traceparent", made]];
}
