/** The end of a machine, as its agent shows it: a machine that ends by itself takes its agent with it before the server knows. */
import type { Agent } from "@caisson/protocol";

const ends = new WeakMap<Agent, AbortSignal>();

/** Aborted when the machine has ended. One for each agent, so that connections that have closed leave nothing at its promise. */
export function machineEnd(agent: Agent): AbortSignal {
  const known = ends.get(agent);
  if (known !== undefined) return known;
  const end = new AbortController();
  ends.set(agent, end.signal);
  void agent.closed.then(() => end.abort());
  return end.signal;
}

/** Whether the machine has ended, or does within that time, milliseconds. */
export function endsWithin(agent: Agent, time: number): Promise<boolean> {
  const end = machineEnd(agent);
  if (end.aborted) return Promise.resolve(true);
  return new Promise((resolve) => {
    const decide = () => {
      clearTimeout(timer);
      end.removeEventListener("abort", decide);
      resolve(end.aborted);
    };
    const timer = setTimeout(decide, time);
    end.addEventListener("abort", decide, { once: true });
  });
}
