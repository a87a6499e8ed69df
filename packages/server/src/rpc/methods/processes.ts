import { rpcMethods as contract, type RpcResult } from "@caisson/api";
import { agentContract, errnoOf } from "@caisson/protocol";
import { within } from "../../kernel/within.ts";
import { method, type Call, type Methods } from "../call.ts";
import { typeError } from "../errors.ts";
import { spawn } from "../spawn.ts";

const { WaitResponse_Oom: Oom } = agentContract;

const oomNames: Readonly<Record<number, RpcResult<"processWait">["oom"]>> = {
  [Oom.LOW_CONFIDENCE]: "low-confidence",
  [Oom.HIGH_CONFIDENCE]: "high-confidence",
};

/** Milliseconds that the answer waits for output that goes on after the process, because others have inherited it. */
const outputPatience = 250;

export const processes: Methods = {
  spawn: method(contract.spawn, ({ command, args = [], ...options }, call) => spawn({ command, args }, options, call)),
  processWait: method(
    contract.processWait,
    async ({ pid }, call) => {
      call.connection.heldBack.get(pid)?.release();
      const { code, signal, oom } = await call.agent.processes
        .wait({ pid }, { signal: call.signal })
        .catch(asDeadProcess);
      // A client that is told of success has all that the process wrote, also when the sandbox ends right after.
      await within(outputPatience, call.connection.outputs.get(pid) ?? Promise.resolve());
      return {
        success: code === 0 && signal === "",
        code,
        signal: signal === "" ? null : signal,
        oom: oomNames[oom] ?? null,
      };
    },
    undefined,
    // When a sandbox ends, its processes are killed.
    { success: false, code: 137, signal: "SIGKILL", oom: null },
  ),
  processKill: method(
    contract.processKill,
    ({ pid, signal = "SIGTERM" }, call) => kill(pid, signal, call),
    undefined,
    null,
  ),
};

export async function kill(pid: number, signal: string, { agent }: Call): Promise<void> {
  try {
    await agent.processes.kill({ pid, signal });
  } catch (error) {
    if (errnoOf(error) === "EINVAL") throw typeError(`Invalid signal: ${signal}`);
    asDeadProcess(error);
  }
}

/** Both clients recognise this error and ignore it (T11). */
export function asDeadProcess(error: unknown): never {
  const errno = errnoOf(error);
  if (errno === "ESRCH" || errno === "ENOENT") throw typeError("Child process has already terminated", "ENOENT");
  throw error;
}
