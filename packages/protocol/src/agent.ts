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

  /**
   * A connection to a UNIX socket inside the sandbox, with the rights of its user.
   * @param path absolute
   */
  connectUnix(path: string): Promise<Duplex>;

  /** Listens inside the sandbox until the signal is aborted. @throws ConnectError with `EADDRINUSE` and the like */
  listen(place: ListenPlace, options: { readonly signal: AbortSignal }): Promise<AgentListener>;

  /**
   * Names the function that is called whenever something from the sandbox has arrived and is about to be processed here: whoever shares
   * this process between organisations learns whose turn it is.
   */
  onWork(listener: () => void): void;

  /** Resolves once, when the session has ended for good. */
  readonly closed: Promise<void>;
}

/** A UNIX socket that does not exist yet (absolute path), or an IP address (empty: all) and a port (0: any free one). */
export type ListenPlace = { readonly path: string } | { readonly host: string; readonly port: number };

export interface AgentListener {
  /** Of TCP. */
  readonly port: number;
  /** Ends when the listener does; then it may throw. Whoever takes a socket ends it. */
  readonly accepted: AsyncIterable<AcceptedSocket>;
}

export interface AcceptedSocket {
  readonly socket: Duplex;
  /** Who connected, for TCP. */
  readonly peerHost: string;
  readonly peerPort: number;
}
