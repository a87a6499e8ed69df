/**
 * The one error class of Caisson. Match on `code`: the codes are closed and stable, messages are for people.
 *
 * A command that fails inside a sandbox is a result, not an error; a platform that fails is an error.
 */

import { errorStatus, type DetailCode, type ErrorCode, type WireCode } from "@caisson/api";

export { errorStatus, type ErrorCode };

export interface CaissonErrorOptions {
  readonly cause?: unknown;
  /** The code that the public wire contract prescribes where it differs from ours, such as `INVALID_TOKEN`. */
  readonly wireCode?: DetailCode;
}

export class CaissonError extends Error {
  override readonly name = "CaissonError";
  readonly code: ErrorCode;
  readonly wireCode: WireCode;

  /** @param message what happened and what the reader can do about it; never a secret */
  constructor(code: ErrorCode, message: string, options: CaissonErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.wireCode = options.wireCode ?? (code.toUpperCase() as Uppercase<ErrorCode>);
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

/** The `code` of an error of Node or of a system call, such as `ENOENT`; undefined when it has none. */
export function codeOf(thrown: unknown): string | undefined {
  const { code } = (thrown ?? {}) as { code?: unknown };
  return typeof code === "string" ? code : undefined;
}
