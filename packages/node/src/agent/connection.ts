/** Keeps a session with an agent for as long as its machine lives: a session that breaks is resynchronised and opened again. */
import type { ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type ConnectionMeter, connectPort, controlLimits, PortMeter } from "@caisson/guest-port";
import { CaissonError } from "@caisson/protocol";
import { openSession } from "./session.ts";

/** A guest under emulation and load may need seconds to be scheduled; one that is paused does not answer at all. */
const handshakeDeadlineMs = 60_000;
const longestPauseMs = 1000;
/** How long a session stays open after the agent's GOAWAY, so that the data received before it is still read. */
const drainMs = 200;

export interface AgentSession {
  readonly session: ClientHttp2Session;
  /** Has to follow every stream that is opened. */
  readonly meter: ConnectionMeter;
}

export class AgentConnection {
  /** Resolves once `end` was called. */
  readonly closed: Promise<void>;
  /** Resolves when the guest sent more than it may, with what it did. Nothing more is read from it, and the machine is to be ended. */
  readonly flooded: Promise<string>;
  readonly #path: string;
  readonly #meter = new PortMeter(controlLimits);
  readonly #ended = new AbortController();
  readonly #markClosed: () => void;
  #session: AgentSession | undefined;
  #socket: Socket | undefined;
  #opening: Promise<AgentSession>;
  #work: (() => void) | undefined;

  /** @param path the control port's unix socket */
  constructor(path: string) {
    this.#path = path;
    const closed = Promise.withResolvers<void>();
    this.closed = closed.promise;
    this.#markClosed = closed.resolve;
    this.flooded = this.#meter.exceeded;
    void this.flooded.then(() => this.end());
    this.#opening = this.#open();
  }

  /**
   * The session, now or as soon as there is one again.
   * @throws CaissonError `unavailable` when the machine has ended or does not answer within `deadlineMs`
   */
  async session(deadlineMs = 30_000): Promise<AgentSession> {
    if (this.#ended.signal.aborted) throw new CaissonError("unavailable", "The sandbox has ended.");
    if (this.#session !== undefined) return this.#session;
    const deadline = new AbortController();
    try {
      return await Promise.race([
        this.#opening,
        sleep(deadlineMs, undefined, { signal: deadline.signal, ref: false }).then(() => {
          throw new CaissonError(
            "unavailable",
            `The sandbox's agent did not answer within ${deadlineMs / 1000} seconds.`,
          );
        }),
      ]);
    } finally {
      deadline.abort();
    }
  }

  /** Ends the session for good. Idempotent. */
  end(): void {
    this.#ended.abort();
    // Without GOAWAY: the guest would answer it, and its next connection would have to wait.
    this.#socket?.destroy();
    this.#markClosed();
  }

  /** See `Agent`. */
  onWork(listener: () => void): void {
    this.#work = listener;
  }

  #open(): Promise<AgentSession> {
    const opening = this.#connect();
    // Callers of `session` get the error; there may be none.
    opening.catch(() => undefined);
    return opening;
  }

  async #connect(): Promise<AgentSession> {
    for (let pause = 5; ; pause = Math.min(pause * 2, longestPauseMs)) {
      if (this.#ended.signal.aborted) throw new CaissonError("unavailable", "The sandbox has ended.");
      try {
        const socket = await connectPort(this.#path, {
          deadlineMs: handshakeDeadlineMs,
          signal: this.#ended.signal,
          meter: this.#meter,
        });
        this.#socket = socket;
        const meter = this.#meter.watch(socket, () => this.#work?.());
        const session = await openSession(socket);
        session.once("close", () => {
          this.#session = undefined;
          if (!this.#ended.signal.aborted) this.#opening = this.#open();
        });
        // After GOAWAY and an invalid frame Node never closes the session, and its streams would stay open for ever.
        session.once("goaway", () => setTimeout(() => session.destroy(), drainMs).unref());
        if (this.#ended.signal.aborted) socket.destroy();
        this.#session = { session, meter };
        return this.#session;
      } catch {
        // The next attempt, or the machine's end, decides.
        await sleep(pause, undefined, { ref: false });
      }
    }
  }
}
