/** Makes a checkpoint: starts an instance that serves nobody, waits until its program is quiet, and saves it. */
import { setTimeout as sleep } from "node:timers/promises";
import { CaissonError, newId, type Agent, type CheckpointInfo } from "@caisson/protocol";
import { spawnProgram } from "../launch.ts";
import { askState, type Hook, newHook, withHook } from "./hook.ts";
import type { CheckpointsOptions, Note, Subject } from "./subject.ts";

/** Nobody waits for it, so it may take longer than an instance. */
const patienceFactor = 4;
/**
 * A program must have been quiet for so long, milliseconds: threads that Deno keeps for blocking calls, which may have made random
 * numbers, end after 10 s without work.
 */
const quiet = 12_000;
const look = 1_000;
/** Milliseconds for connections of its start to end: clients keep them for a minute or two. */
const longestUnrest = 180_000;

export interface SeedOptions {
  readonly id: string;
  readonly subject: Subject;
  readonly digest: string;
  readonly signal: AbortSignal;
}

/** @throws CaissonError why there is none; nothing is left of the instance */
export async function makeSeed(
  { config, node, workloads }: CheckpointsOptions,
  { id, subject, digest, signal }: SeedOptions,
): Promise<CheckpointInfo> {
  const { plan, program, orgId } = subject;
  const machine = newId("ins", config.sandbox.region);
  try {
    const { agent } = await workloads.start({ ...plan, id: machine, checkpoint: { id, use: "save" } }, signal);
    const hook = newHook();
    const { pid, stdout, stderr } = await spawnProgram(agent, withHook(program, hook), signal);
    // Nobody reads what it prints: each instance that goes on from here gets to read that.
    const port = await listeningPort(agent, pid, config.serving.startTimeout * 1000 * patienceFactor, signal);
    await becomesQuiet(agent, hook, signal);
    const note: Note = {
      version: 1,
      orgId,
      digest,
      pid,
      stdout: String(stdout),
      stderr: String(stderr),
      port,
      hook,
    };
    signal.throwIfAborted();
    return await node.checkpoints.save(machine, JSON.stringify(note));
  } finally {
    await workloads.finish(machine);
  }
}

async function listeningPort(agent: Agent, pid: number, timeoutMs: number, signal: AbortSignal): Promise<number> {
  const { port } = await agent.processes.waitListening({ pid }, { timeoutMs, signal });
  if (port < 1 || port > 65_535) throw new CaissonError("guest_error", "The program ended before it listened.");
  return port;
}

async function becomesQuiet(agent: Agent, hook: Hook, signal: AbortSignal): Promise<void> {
  const began = performance.now();
  let since = began;
  for (;;) {
    const { workers, children, connections, peers } = await askState(agent, hook);
    const now = performance.now();
    if (workers + children > 0)
      throw new CaissonError("unsupported", "The program has workers or processes of its own.");
    if (connections > 0) since = now;
    if (now - since >= quiet) return;
    if (now - began >= longestUnrest)
      throw new CaissonError("unsupported", `The program keeps connections open: ${peers.join(", ")}.`);
    await sleep(look, undefined, { signal });
  }
}
