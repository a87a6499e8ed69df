/** Reads the failed system call from the error of a call to an agent. */
import { ConnectError } from "@connectrpc/connect";
import { OperationErrorSchema } from "./gen/agent_pb.js";

export interface OperationError {
  /** Linux name, such as `ENOENT`. */
  readonly errno: string;
  /** As the guest wrote it. */
  readonly message: string;
}

const longestMessage = 4096;

/** @returns undefined when the error is not a failed operation inside a sandbox, or the guest sent no valid name for it */
export function operationError(error: unknown): OperationError | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  const [detail] = error.findDetails(OperationErrorSchema);
  if (detail === undefined || !/^E[A-Z0-9]{1,20}$/.test(detail.errno)) return undefined;
  return { errno: detail.errno, message: detail.message.slice(0, longestMessage) };
}

/** The Linux name of a failed system call in the guest, such as ENOENT. */
export function errnoOf(error: unknown): string | undefined {
  return operationError(error)?.errno;
}
