/** Reads the failed system call from the error of a call. */
import { agentContract } from "@caisson/protocol";
import { ConnectError } from "@connectrpc/connect";

export interface OperationFailure {
  /** Linux name, such as `ENOENT`. */
  readonly errno: string;
  readonly message: string;
}

const longestMessage = 4096;

/** Undefined when the error is not the failure of an operation inside the sandbox. */
export function operationError(error: unknown): OperationFailure | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  const [detail] = error.findDetails(agentContract.OperationErrorSchema);
  if (detail === undefined || !/^E[A-Z0-9]{1,20}$/.test(detail.errno)) return undefined;
  return { errno: detail.errno, message: detail.message.slice(0, longestMessage) };
}
