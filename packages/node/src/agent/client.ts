/** The host's side of the agent contract. */
import { agentContract, type Agent } from "@caisson/protocol";
import { createClient } from "@connectrpc/connect";
import { AgentConnection } from "./connection.ts";
import { dial } from "./dial.ts";
import { connectUnix, listen } from "./sockets.ts";
import { readStream, writeStream } from "./streams.ts";
import { createTransport } from "./transport.ts";

export interface AgentClient extends Agent {
  /** Resolves when the agent answers. @throws CaissonError `unavailable` after `deadlineMs` */
  ready(deadlineMs: number): Promise<void>;
  /** Resolves when the guest sent more than it may, with what it did. The session has ended then, and the machine is to be ended. */
  readonly flooded: Promise<string>;
  /** Ends the session for good; `closed` resolves. */
  end(): void;
}

/** @param socketPath the control port's unix socket; the connection is opened at once and kept */
export function connectAgent(socketPath: string): AgentClient {
  const connection = new AgentConnection(socketPath);
  const transport = createTransport(connection);
  const sockets = createClient(agentContract.Sockets, transport);
  return {
    machine: createClient(agentContract.Machine, transport),
    processes: createClient(agentContract.Processes, transport),
    environment: createClient(agentContract.Environment, transport),
    files: createClient(agentContract.Files, transport),
    readStream: (id) => readStream(connection, id),
    writeStream: (id) => writeStream(connection, id),
    dial: (host, port, options) => dial(connection, host, port, options?.signal),
    connectUnix: (path) => connectUnix(connection, sockets, path),
    listen: (place, { signal }) => listen(connection, sockets, place, signal),
    onWork: (listener) => connection.onWork(listener),
    closed: connection.closed,
    flooded: connection.flooded,
    ready: async (deadlineMs) => {
      await connection.session(deadlineMs);
    },
    end: () => connection.end(),
  };
}
