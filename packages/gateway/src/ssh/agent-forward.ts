/** The client's SSH agent inside the sandbox (`ssh -A`), where the operator allows it. */
import { randomBytes } from "node:crypto";
import type { SshRoute } from "@caisson/protocol";
import type { Connection } from "ssh2";
import { leadOut, type FromInsideOptions } from "./from-inside.ts";
import { openAgentChannel } from "./library.ts";

export interface AgentForwardOptions extends FromInsideOptions {
  readonly connection: Connection;
  readonly route: SshRoute;
}

/**
 * @returns makes the socket, one for all sessions of the connection, and gives its path inside; rejects when the sandbox cannot listen now. It belongs to the sandbox's user, and is
 *   removed when the connection closes
 */
export function agentForwarding({ connection, route, ...options }: AgentForwardOptions): () => Promise<string> {
  const { gone, log } = options;
  let socket: Promise<string> | undefined;
  const listen = async (): Promise<string> => {
    const path = `/tmp/ssh-agent-${randomBytes(10).toString("hex")}`;
    const { accepted } = await route.agent.listen({ path }, { signal: gone });
    leadOut(accepted, () => openAgentChannel(connection), options).catch((error: unknown) =>
      log.debug({ err: error }, "an SSH agent is no longer forwarded"),
    );
    return path;
  };
  return () => {
    if (socket !== undefined) return socket;
    const made = listen();
    socket = made;
    // The next session tries again.
    made.catch(() => {
      if (socket === made) socket = undefined;
    });
    return made;
  };
}
