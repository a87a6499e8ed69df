/** Refusals and failures of requests, and the answers that explain them to the guest. */
import type { HeaderList } from "@caisson/http1";
import { SecretReturned } from "../../redact/redactor.ts";
import { SecretRefused } from "../../secrets/substitute.ts";
import { UpstreamFailure } from "../../upstream/failure.ts";
import type { GuestReply } from "./guest.ts";

export type RefusalRule =
  | "authority-missing"
  | "authority-mismatch"
  | "authority-ambiguous"
  | "connect-in-http"
  | "upgrade-refused"
  | "malformed-request"
  | "unreadable-response"
  | "body-timeout"
  | "too-many-requests"
  | "byte-budget";

/** Thrown for a request that must not be forwarded. */
export class RequestRefused extends Error {
  readonly status: number;
  readonly rule: string;
  constructor(status: number, rule: RefusalRule, message: string) {
    super(message);
    this.status = status;
    this.rule = rule;
  }
}

/** What to do where a forward proxy cannot be used. */
export const withoutProxy =
  "If this host is a forward proxy: connect to the other host directly (allow it, and unset `http_proxy` and `https_proxy`), or name the proxy in `passThrough` when the sandbox is created.";

export const connectRefused = (): RequestRefused =>
  new RequestRefused(
    403,
    "connect-in-http",
    `A CONNECT tunnel leads to a host that the network policy cannot check. ${withoutProxy}`,
  );

export interface Outcome {
  readonly status: number;
  readonly rule: string;
  readonly verdict: "refused" | "failed";
  readonly message: string;
}

export function outcomeOf(error: unknown): Outcome {
  if (error instanceof SecretRefused)
    return { status: 403, rule: error.rule, verdict: "refused", message: error.message };
  if (error instanceof SecretReturned)
    return { status: 502, rule: error.rule, verdict: "refused", message: error.message };
  if (error instanceof RequestRefused)
    return { status: error.status, rule: error.rule, verdict: "refused", message: error.message };
  if (error instanceof UpstreamFailure) {
    return {
      status: error.rule === "upstream-timeout" ? 504 : 502,
      rule: error.rule,
      verdict: "failed",
      message: error.message,
    };
  }
  return {
    status: 502,
    rule: "proxy-error",
    verdict: "failed",
    message: "The egress proxy failed to handle the request.",
  };
}

/** The JSON that explains an outcome. */
export function outcomeBody(outcome: Outcome, host: string): Buffer {
  const error = outcome.verdict === "refused" ? "egress_refused" : "egress_failed";
  return Buffer.from(`${JSON.stringify({ error, host, rule: outcome.rule, message: outcome.message })}\n`);
}

/** Without `content-length` and `connection`. */
export function outcomeHeaders(outcome: Outcome): HeaderList {
  return [
    ["content-type", "application/json"],
    ["cache-control", "no-store"],
    ["caisson-reason", outcome.rule],
  ];
}

/** Answers with the outcome, or ends the exchange when an answer has begun. */
export function explain(reply: GuestReply, outcome: Outcome, host: string, close: boolean): void {
  if (reply.started) {
    reply.abort();
    return;
  }
  const body = outcomeBody(outcome, host);
  try {
    answer(reply, outcome, body, close);
  } catch {
    reply.abort();
  }
}

function answer(reply: GuestReply, outcome: Outcome, body: Buffer, close: boolean): void {
  // What is left of the request's body will not be read, so an HTTP/1.1 connection cannot go on.
  reply.head(
    outcome.status,
    [
      ...outcomeHeaders(outcome),
      ["content-length", String(body.length)],
      ...(close ? ([["connection", "close"]] as const) : []),
    ],
    { ended: false },
  );
  reply.write(body);
  reply.end([]);
}
