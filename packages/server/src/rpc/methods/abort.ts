import { rpcMethods as contract } from "@caisson/api";
import { method, type Methods } from "../call.ts";

export const abort: Methods = {
  /** Never fails: the JavaScript client does not handle an error here (T10). */
  abort: method(contract.abort, async ({ abortId }, { connection }) => {
    connection.aborts.get(abortId)?.abort(new DOMException("The signal has been aborted", "AbortError"));
  }),
};
