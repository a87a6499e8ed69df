/** The life of a sandbox: one table of what may follow what. Stored with the sandbox, so that a crash at any point can be resolved. */
export type Phase = "creating" | "running" | "stopping" | "stopped";

/**
 * creating  the row exists, a machine may
 * running   the machine runs and clients may connect
 * stopping  the machine is being ended; may be repeated after a crash
 * stopped   for good; the id is never used again
 */
export const transitions: Readonly<Record<Phase, readonly Phase[]>> = {
  creating: ["running", "stopping"],
  running: ["stopping"],
  stopping: ["stopped"],
  stopped: [],
};

export const livePhases: readonly Phase[] = ["creating", "running", "stopping"];

/** Phases from which `to` may be entered. */
export function sourcesOf(to: Phase): Phase[] {
  return (Object.keys(transitions) as Phase[]).filter((from) => transitions[from].includes(to));
}
