/**
 * The one error class of Caisson. Match on `code`: the codes are closed and stable, messages are for people.
 *
 * A command that fails inside a sandbox is a result, not an error; a platform that fails is an error.
 */

/** Every code, with the HTTP status that carries it over REST. */
export const errorStatus = {
  invalid_argument: 400,
  unauthenticated: 401,
  forbidden: 403,
  policy_denied: 403,
  not_found: 404,
  gone: 410,
  already_exists: 409,
  invalid_state: 409,
  too_large: 413,
  resource_exhausted: 429,
  cancelled: 499,
  internal: 500,
  unsupported: 501,
  guest_error: 502,
  unavailable: 503,
  timeout: 504,
} as const;

export type ErrorCode = keyof typeof errorStatus;

export interface CaissonErrorOptions {
  readonly cause?: unknown;
  /** The code that the public wire contract prescribes where it differs from ours, such as `INVALID_TOKEN`. */
  readonly wireCode?: string;
}

export class CaissonError extends Error {
  override readonly name = "CaissonError";
  readonly code: ErrorCode;
  readonly wireCode: string;

  /** @param message what happened and what the reader can do about it; never a secret */
  constructor(code: ErrorCode, message: string, options: CaissonErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.wireCode = options.wireCode ?? code.toUpperCase();
  }

  get status(): number {
    return errorStatus[this.code];
  }
}

/** Turns anything thrown into a `CaissonError`; what is not one already becomes `internal`, with the original as `cause`. */
export function toCaissonError(thrown: unknown): CaissonError {
  if (thrown instanceof CaissonError) return thrown;
  if (thrown instanceof Error && thrown.name === "AbortError") {
    return new CaissonError("cancelled", "The operation was cancelled.", { cause: thrown });
  }
  return new CaissonError("internal", "Something failed inside the platform; its log has the details.", {
    cause: thrown,
  });
}
