/** Turns failures of calls that the node makes to an agent into errors for users. */
import { CaissonError, operationError } from "@caisson/protocol";
import { Code, ConnectError } from "@connectrpc/connect";

/**
 * @param what completes "The sandbox could not"
 * @throws CaissonError `guest_error`, `timeout`, `unavailable`; what is a CaissonError is thrown as it is
 */
export async function guestError<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    if (cause instanceof CaissonError) throw cause;
    const failure = operationError(cause);
    if (failure !== undefined) {
      throw new CaissonError("guest_error", `The sandbox could not ${what}: ${failure.message} (${failure.errno})`, {
        cause,
      });
    }
    const code = cause instanceof ConnectError ? cause.code : Code.Unknown;
    if (code === Code.DeadlineExceeded)
      throw new CaissonError("timeout", `The sandbox did not ${what} in time.`, { cause });
    if (code === Code.Unavailable)
      throw new CaissonError("unavailable", `The sandbox could not ${what}: it has ended.`, { cause });
    throw new CaissonError("guest_error", `The sandbox could not ${what}.`, { cause });
  }
}
