/** How the guest learns that something was refused or failed. */
import { SecretRefused, type HeaderList } from "../../secrets/substitute.ts";
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

/** A request that is not let through. */
export class Refusal extends Error {
  readonly status: number;
  readonly rule: string;
  constructor(status: number, rule: RefusalRule, message: string) {
    super(message);
    this.status = status;
    this.rule = rule;
  }
}

export interface Outcome {
  readonly status: number;
  readonly rule: string;
  readonly verdict: "refused" | "failed";
  readonly message: string;
}

export function outcomeOf(error: unknown): Outcome {
  if (error instanceof SecretRefused)
    return { status: 403, rule: error.rule, verdict: "refused", message: error.message };
  if (error instanceof Refusal)
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
    message: "The egress proxy could not carry out the request.",
  };
}

/** The JSON that explains an outcome. */
export function outcomeBody(outcome: Outcome, host: string): Buffer {
  const error = outcome.verdict === "refused" ? "egress_refused" : "egress_failed";
  return Buffer.from(`${JSON.stringify({ error, host, rule: outcome.rule, message: outcome.message })}\n`);
}

export function outcomeHeaders(outcome: Outcome, body: Buffer): HeaderList {
  return [
    ["content-type", "application/json"],
    ["content-length", String(body.length)],
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
    [...outcomeHeaders(outcome, body), ...(close ? ([["connection", "close"]] as const) : [])],
    { ended: false },
  );
  reply.write(body);
  reply.end([]);
}
