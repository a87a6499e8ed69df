import { z } from "zod";
import { method, type Methods } from "../call.ts";

export const abort: Methods = {
  /** Never fails: the JavaScript client does not handle an error here (T10). */
  abort: method(z.object({ abortId: z.number() }), async ({ abortId }, { connection }) => {
    connection.aborts.get(abortId)?.abort(new DOMException("The signal has been aborted", "AbortError"));
  }),
};
