/**
 * Whether the guest of an adopted machine is one that this process can work with. Asked after the machine was adopted: a machine that the
 * monitor paused because the host's disk is full cannot answer, and goes on when there is space again.
 *
 * Which agents are compatible: all that serve version 1 of the contract (`caisson.agent.v1`), older or newer. Within that version nothing
 * is removed or changes its meaning, so a call that an older agent does not have fails, and nothing else. An agent of another version of
 * the contract does not know the service, and its machine is ended with a reason.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { agentContract } from "@caisson/protocol";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Logger } from "pino";
import type { AgentClient } from "../agent/client.ts";

export interface VerifyOptions {
  readonly id: string;
  readonly agent: Pick<AgentClient, "ready" | "machine" | "closed">;
  /** Of the image that this process starts machines from. */
  readonly agentVersion: string;
  /** Whether the monitor paused the machine because the host's disk is full. */
  readonly stalled: () => Promise<boolean>;
  readonly log: Logger;
  /** How long a machine that is not paused may take to answer, milliseconds. */
  readonly patienceMs?: number;
}

/** On a host that is busy with a restart an emulated guest may need a minute; one that hangs for longer is of no use to its owner. */
const usualPatienceMs = 120_000;
const usualAttemptMs = 5000;

/** @returns why the machine has to be ended; undefined: it goes on, or has ended */
export async function verifyGuest(options: VerifyOptions): Promise<string | undefined> {
  const { id, agent, agentVersion, log } = options;
  const patienceMs = options.patienceMs ?? usualPatienceMs;
  const attemptMs = Math.min(usualAttemptMs, patienceMs);
  const ended = new AbortController();
  void agent.closed.then(() => ended.abort());
  let silentSince = performance.now();
  let told = false;
  while (!ended.signal.aborted) {
    try {
      await agent.ready(attemptMs);
      const { state, version } = await agent.machine.hello({}, { timeoutMs: attemptMs });
      if (state !== agentContract.HelloResponse_State.CONFIGURED)
        return "The machine had not been handed to its sandbox when the former server ended.";
      if (version !== agentVersion)
        log.info({ machine: id, version, ours: agentVersion }, "an adopted machine has another version of the agent");
      return undefined;
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.Unimplemented)
        return "The agent in the machine does not serve version 1 of the contract. Another version of Caisson started the machine.";
      if (await options.stalled().catch(() => false)) {
        if (!told) log.warn({ machine: id }, "an adopted machine is paused until the host's disk has free space");
        told = true;
        silentSince = performance.now();
      } else if (performance.now() - silentSince > patienceMs)
        return "The agent in the machine did not answer after the server was restarted.";
      await sleep(250, undefined, { ref: false });
    }
  }
  return undefined;
}
