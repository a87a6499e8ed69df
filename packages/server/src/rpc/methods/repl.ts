import { rpcMethods as contract } from "@caisson/api";
import { method, type Call, type Methods } from "../call.ts";
import { typeError } from "../errors.ts";
import type { Repl } from "../repl/repl.ts";
import { closeRepl, startRepl } from "../repl/start.ts";

export const repl: Methods = {
  spawnDenoRepl: method(contract.spawnDenoRepl, ({ scriptArgs = [], ...options }, call) =>
    startRepl(options, scriptArgs, call),
  ),
  denoReplEval: method(contract.denoReplEval, ({ pid, code }, call) =>
    find(pid, call).evaluate(call.long === undefined ? code : [...call.long.texts()].join(""), call.signal),
  ),
  denoReplCall: method(contract.denoReplCall, ({ pid, fn, args }, call) => find(pid, call).call(fn, args, call.signal)),
  /** Closing a closed REPL is no error: the Python client would not catch it. */
  denoReplClose: method(
    contract.denoReplClose,
    async ({ pid }, { deno, agent }) => {
      const repl = deno.repl(pid);
      if (repl !== undefined) await closeRepl(repl, agent);
    },
    undefined,
    null,
  ),
};

function find(pid: number, { deno }: Call): Repl {
  const repl = deno.repl(pid);
  if (repl === undefined) throw typeError(`No REPL is running with pid ${pid}`, "ENOENT");
  return repl;
}
