/** Errors as the clients rebuild them (wire contract 2.7). Failed system calls get the class and the text that Deno gives them. */
import { constants } from "node:os";
import { CaissonError, operationError } from "@caisson/protocol";
import { ConnectError } from "@connectrpc/connect";
import type { SerialisedError } from "@caisson/api";

const classes: Readonly<Record<string, string>> = {
  ENOENT: "NotFound",
  ESRCH: "NotFound",
  EACCES: "PermissionDenied",
  EPERM: "PermissionDenied",
  EEXIST: "AlreadyExists",
  EISDIR: "IsADirectory",
  ENOTDIR: "NotADirectory",
  ELOOP: "FilesystemLoop",
  EINVAL: "InvalidData",
  EILSEQ: "InvalidData",
  EAGAIN: "WouldBlock",
  EINTR: "Interrupted",
  EPIPE: "BrokenPipe",
  ETIMEDOUT: "TimedOut",
  ECONNREFUSED: "ConnectionRefused",
  ECONNRESET: "ConnectionReset",
  ECONNABORTED: "ConnectionAborted",
  ENOTCONN: "NotConnected",
  EADDRINUSE: "AddrInUse",
  EADDRNOTAVAIL: "AddrNotAvailable",
  ENETUNREACH: "NetworkUnreachable",
  EBUSY: "Busy",
  EBADF: "BadResource",
  EOPNOTSUPP: "NotSupported",
};

/** Texts of strerror(3). Of the other errors Go prints the same text with a small first letter. */
const texts: Readonly<Record<string, string>> = {
  ENOENT: "No such file or directory",
  EACCES: "Permission denied",
  EPERM: "Operation not permitted",
  EEXIST: "File exists",
  EISDIR: "Is a directory",
  ENOTDIR: "Not a directory",
  ENOTEMPTY: "Directory not empty",
  EINVAL: "Invalid argument",
  ELOOP: "Too many levels of symbolic links",
  EXDEV: "Invalid cross-device link",
  ENOSPC: "No space left on device",
  EROFS: "Read-only file system",
  EBADF: "Bad file descriptor",
  ENAMETOOLONG: "File name too long",
  ETXTBSY: "Text file busy",
  EBUSY: "Device or resource busy",
};

/** A failed operation whose error the client gets as it is. */
export class OperationFailure extends Error {
  readonly serialised: SerialisedError;

  constructor(serialised: SerialisedError) {
    super(serialised.message);
    this.name = "OperationFailure";
    this.serialised = serialised;
  }
}

export const abortError: SerialisedError = {
  constructorName: "DOMException",
  name: "AbortError",
  message: "The signal has been aborted",
  code: null,
};

/** @param operation as Deno names it, such as `open '/x'` */
export function serialiseError(error: unknown, operation?: string): SerialisedError {
  if (error instanceof OperationFailure) return error.serialised;
  const failed = operationError(error);
  if (failed !== undefined) {
    const { errno } = failed;
    const number = (constants.errno as Record<string, number>)[errno];
    const text = texts[errno] ?? capitalised(failed.message.slice(0, 1000));
    const suffix = number === undefined || text.includes("(os error") ? "" : ` (os error ${number})`;
    return {
      constructorName: classes[errno] ?? "Error",
      message: `${text}${suffix}${operation === undefined ? "" : `: ${operation}`}`,
      code: errno,
    };
  }
  if (error instanceof CaissonError) return { constructorName: "Error", message: error.message, code: error.wireCode };
  if (error instanceof ConnectError)
    return { constructorName: "Error", message: `The sandbox did not answer: ${error.rawMessage}`, code: null };
  return {
    constructorName: "Error",
    message: "Something failed inside the platform; its log has the details.",
    code: null,
  };
}

function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

export function typeError(message: string, code: string | null = null): OperationFailure {
  return new OperationFailure({ constructorName: "TypeError", message, code });
}
