/** Errors as JSON `{code, message}` (wire contract 1.3). */
import { CaissonError, toCaissonError } from "@caisson/protocol";
import { HTTPException } from "hono/http-exception";
import type { Logger } from "pino";

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
}

/** The value of `WWW-Authenticate` where a token is missing or unknown (RFC 6750, 3). */
export const challenge = 'Bearer realm="caisson"';

/** The answer for anything thrown. What is our fault goes to the log with its causes, and not to the client. */
export function toErrorAnswer(thrown: unknown, log: Logger): { status: number; body: ErrorBody } {
  const error = toCaissonError(thrown instanceof HTTPException ? malformed(thrown) : thrown);
  if (error.status >= 500 && error.status !== 501) log.error({ err: thrown }, "a request failed");
  return { status: error.status, body: { code: error.wireCode, message: error.message } };
}

/** Thrown by Hono's validators when a body is not what its Content-Type says. */
function malformed(cause: HTTPException): CaissonError {
  return new CaissonError("invalid_argument", "The body is not valid JSON.", { cause });
}
