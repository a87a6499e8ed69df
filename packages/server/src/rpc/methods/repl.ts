import { z } from "zod";
import { method, optional, pid, type Call, type Methods } from "../call.ts";
import { typeError } from "../errors.ts";
import type { Repl } from "../repl/repl.ts";
import { closeRepl, startRepl } from "../repl/start.ts";
import { processText, spawnOptions } from "../spawn.ts";

export const repl: Methods = {
  spawnDenoRepl: method(
    spawnOptions.extend({ scriptArgs: optional(z.array(processText)) }),
    ({ scriptArgs = [], ...options }, call) => startRepl(options, scriptArgs, call),
  ),
  denoReplEval: method(z.object({ pid, code: z.string() }), ({ pid, code }, call) =>
    find(pid, call).evaluate(code, call.signal),
  ),
  denoReplCall: method(z.object({ pid, fn: z.string(), args: z.array(z.unknown()) }), ({ pid, fn, args }, call) =>
    find(pid, call).call(fn, args, call.signal),
  ),
  /** Closing what is closed is fine: the Python client swallows no error here. */
  denoReplClose: method(
    z.object({ pid }),
    async ({ pid }, { sandbox, agent }) => {
      const repl = sandbox.deno.repl(pid);
      if (repl !== undefined) await closeRepl(repl, agent);
    },
    undefined,
    null,
  ),
};

function find(pid: number, { sandbox }: Call): Repl {
  const repl = sandbox.deno.repl(pid);
  if (repl === undefined) throw typeError(`No REPL with process id ${pid} runs`, "ENOENT");
  return repl;
}
