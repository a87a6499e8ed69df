/** How the host talks to the agent of one sandbox: typed calls, byte streams and connections, all over one HTTP/2 session. */
import { createContextKey, type Client } from "@connectrpc/connect";
import type { Duplex, Readable, Writable } from "node:stream";
import type { Environment, Files, Machine as MachineService, Processes } from "./gen/agent_pb.js";

/**
 * A value of a call's context: `large` accepts an answer of up to 4 MiB from a method whose answers are small otherwise. The agent may be
 * hostile, so a caller accounts for the memory first.
 */
export const agentAnswers = createContextKey<"usual" | "large">("usual");

export interface Agent {
  readonly machine: Client<typeof MachineService>;
  readonly processes: Client<typeof Processes>;
  readonly environment: Client<typeof Environment>;
  readonly files: Client<typeof Files>;

  /**
   * The bytes of an output stream named by an earlier call. Destroying it cancels the stream in the guest. Flow control
   * reaches the producer: unread data stays in the guest's pipe.
   */
  readStream(stream: bigint): Readable;

  /**
   * An input stream named by an earlier call. Errors with `EPIPE` when the guest no longer reads. `finish` is emitted only
   * when the guest has taken every byte.
   */
  writeStream(stream: bigint): Writable;

  /**
   * A TCP connection made inside the sandbox, under its network policy.
   * @throws CaissonError `unavailable` when the guest cannot connect, `policy_denied` when its policy forbids the host
   */
  dial(host: string, port: number, options?: { signal?: AbortSignal }): Promise<Duplex>;

  /** Resolves once, when the session has ended for good. */
  readonly closed: Promise<void>;
}
