/** Gets a program to run in a machine. */
import { CaissonError, type Agent } from "@caisson/protocol";
import type { WorkloadPlan, Workloads } from "../workloads/index.ts";
import type { Program } from "./program.ts";

export interface Launched {
  readonly agent: Agent;
  readonly pid: number;
  /** Streams of what it prints. Nobody has read them. */
  readonly stdout: bigint;
  readonly stderr: bigint;
  /** Where it listens, when it does so already. */
  readonly port?: number;
}

export interface LaunchOptions {
  readonly plan: WorkloadPlan;
  readonly program: Program;
  readonly workloads: Workloads;
  readonly signal: AbortSignal;
}

/** @throws CaissonError; the caller then ends the workload */
export type Launch = (options: LaunchOptions) => Promise<Launched>;

/** In a new machine. */
export const launchPlainly: Launch = async ({ plan, program, workloads, signal }) => {
  const { agent } = await workloads.start(plan, signal);
  return { agent, ...(await spawnProgram(agent, program, signal)) };
};

/** @throws CaissonError `guest_error` */
export async function spawnProgram(
  agent: Agent,
  { command, args, cwd }: Program,
  signal: AbortSignal,
): Promise<Pick<Launched, "pid" | "stdout" | "stderr">> {
  const started = await agent.processes
    .spawn({ command, args: [...args], cwd, stdout: true, stderr: true }, { signal })
    .catch((cause: unknown) => {
      throw new CaissonError("guest_error", `The program ${command} could not be started.`, { cause });
    });
  return { pid: started.pid, stdout: started.stdoutStream, stderr: started.stderrStream };
}
