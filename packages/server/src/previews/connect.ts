/** Connects to an exposed port. The agent does it inside the sandbox, so nothing on the node can be reached this way. */
import type { Duplex } from "node:stream";
import { CaissonError, errnoOf, type Agent } from "@caisson/protocol";

export type Target = { readonly port: number } | { readonly pid: number };

/** Milliseconds for a Deno process to listen. */
const listenTimeout = 8_000;

/** @throws CaissonError with a message for the visitor */
export async function connectInside(agent: Agent, target: Target, signal: AbortSignal): Promise<Duplex> {
  const port = "port" in target ? target.port : await portOf(agent, target.pid, signal);
  // Programs that listen on `localhost` may mean either.
  for (const address of ["127.0.0.1", "::1"]) {
    try {
      return await agent.dial(address, port, { signal });
    } catch (error) {
      if (!(error instanceof CaissonError) || error.code !== "unavailable") throw error;
    }
  }
  throw new CaissonError(
    "unavailable",
    `Nothing listens on port ${port} in the sandbox. Start a program that listens on it, then reload this page.`,
  );
}

/** Called for every connection: a program that restarts may listen on another port. */
async function portOf(agent: Agent, pid: number, signal: AbortSignal): Promise<number> {
  let port = 0;
  try {
    ({ port } = await agent.processes.waitListening({ pid }, { signal, timeoutMs: listenTimeout }));
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno !== "ESRCH" && errno !== "ENOENT")
      throw new CaissonError("unavailable", `Process ${pid} of the sandbox does not listen on any port yet.`, {
        cause,
      });
  }
  if (port === 0)
    throw new CaissonError("unavailable", `Process ${pid} of the sandbox has ended. This address was bound to it.`);
  return port;
}
