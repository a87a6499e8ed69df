/** Runs the commands of a build in a machine, with their output in the build log. */
import { CaissonError, type Agent } from "@caisson/protocol";
import { eachLine, lastOutput } from "../../serving/output.ts";
import type { Job } from "../job.ts";
import type { BuildLine, RevisionsService } from "../../revisions/index.ts";
import type { BuildPlan } from "./presets.ts";

/** Milliseconds for the output to arrive after a command has ended. */
const longestOutput = 10_000;

export interface BuildPlace {
  readonly agent: Agent;
  /** Directory of the app in the machine. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Installs and builds, each as a stage of its own.
 * @throws CaissonError `guest_error` when a command fails
 */
export async function runBuild(
  { install, build }: Pick<BuildPlan, "install" | "build">,
  place: BuildPlace,
  job: Job,
  revisions: Pick<RevisionsService, "setStage">,
): Promise<void> {
  await revisions.setStage(job.revision.id, "preparing", "succeeded");
  for (const [stage, command] of [
    ["installing", install],
    ["building", build],
  ] as const) {
    if (command === undefined) {
      await revisions.setStage(job.revision.id, stage, "skipped");
      continue;
    }
    await revisions.setStage(job.revision.id, stage, "running", command);
    await job.say({ level: "info", step: stage, message: `$ ${command}` });
    await runCommand(command, { step: stage }, place, job);
    await revisions.setStage(job.revision.id, stage, "succeeded");
  }
}

/** Without what it downloads the program still starts, when the network lets it: a failure is only logged. */
export async function runPrefetch(command: string, place: BuildPlace, job: Job): Promise<void> {
  await job.say({ level: "info", step: "building", message: "Downloads the dependencies of the program." });
  try {
    await runCommand(command, { step: "building" }, place, job);
  } catch (error) {
    job.signal.throwIfAborted();
    if (!(error instanceof CaissonError) || error.code !== "guest_error") throw error;
    const message = "Not all dependencies could be downloaded. Instances will try it when they start.";
    await job.say({ level: "error", step: "building", message });
  }
}

/** @param where what its output belongs to in the log @throws CaissonError `guest_error` when it fails */
export async function runCommand(
  command: string,
  where: Pick<BuildLine, "step" | "timeline">,
  { agent, cwd, env }: BuildPlace,
  { signal, say }: Job,
): Promise<void> {
  const started = await agent.processes.spawn(
    { command: "bash", args: ["-c", command], cwd, env: { ...env }, stdout: true, stderr: true },
    { signal },
  );
  const [stdout, stderr] = [agent.readStream(started.stdoutStream), agent.readStream(started.stderrStream)];
  const output = Promise.all([
    eachLine(stdout, (message) => say({ level: "info", ...where, message })),
    eachLine(stderr, (message) => say({ level: "error", ...where, message })),
  ]);
  const kill = () =>
    void agent.processes.kill({ pid: started.pid, signal: "SIGKILL" }, { timeoutMs: 5_000 }).catch(() => undefined);
  signal.addEventListener("abort", kill, { once: true });
  try {
    const { code, signal: by } = await agent.processes.wait({ pid: started.pid }, { signal });
    await lastOutput(output, longestOutput);
    if (code !== 0)
      throw new CaissonError(
        "guest_error",
        `The command \`${command.slice(0, 200)}\` failed: ${by === "" ? `exit code ${code}` : by}. See the build log.`,
      );
  } finally {
    signal.removeEventListener("abort", kill);
    // What the command left running must not write to the log of a build that has ended.
    stdout.destroy();
    stderr.destroy();
  }
}
