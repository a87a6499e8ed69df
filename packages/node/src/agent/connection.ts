/** Keeps a session with an agent for as long as its machine lives: a session that breaks is resynchronised and opened again. */
import type { ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { CaissonError } from "@caisson/protocol";
import { watchFlood } from "./flood.ts";
import { connectPort } from "@caisson/guest-port";
import { openSession } from "./session.ts";

/** A guest under emulation and load may need seconds to be scheduled; one that is paused does not answer at all. */
const handshakeDeadlineMs = 60_000;
const longestPauseMs = 1000;
/** How long a session may outlive the agent's farewell, in which what was received is still read. */
const drainMs = 200;

export class AgentConnection {
  /** Resolves once `end` was called. */
  readonly closed: Promise<void>;
  readonly #path: string;
  readonly #ended = new AbortController();
  readonly #markClosed: () => void;
  #session: ClientHttp2Session | undefined;
  #socket: Socket | undefined;
  #opening: Promise<ClientHttp2Session>;

  /** @param path the control port's unix socket */
  constructor(path: string) {
    this.#path = path;
    const closed = Promise.withResolvers<void>();
    this.closed = closed.promise;
    this.#markClosed = closed.resolve;
    this.#opening = this.#open();
  }

  /**
   * The session, now or as soon as there is one again.
   * @throws CaissonError `unavailable` when the machine has ended or does not answer within `deadlineMs`
   */
  async session(deadlineMs = 30_000): Promise<ClientHttp2Session> {
    if (this.#session !== undefined) return this.#session;
    const deadline = new AbortController();
    try {
      return await Promise.race([
        this.#opening,
        sleep(deadlineMs, undefined, { signal: deadline.signal, ref: false }).then(() => {
          throw new CaissonError("unavailable", "The sandbox's agent does not answer.");
        }),
      ]);
    } finally {
      deadline.abort();
    }
  }

  /** Ends the session for good. Idempotent. */
  end(): void {
    this.#ended.abort();
    // Without the farewell that a session would send: the guest would answer it, and let its next host wait meanwhile.
    this.#socket?.destroy();
    this.#markClosed();
  }

  #open(): Promise<ClientHttp2Session> {
    const opening = this.#connect();
    // Whoever asks for the session gets the error; nobody may be asking.
    opening.catch(() => undefined);
    return opening;
  }

  async #connect(): Promise<ClientHttp2Session> {
    for (let pause = 5; ; pause = Math.min(pause * 2, longestPauseMs)) {
      if (this.#ended.signal.aborted) throw new CaissonError("unavailable", "The sandbox has ended.");
      try {
        const socket = await connectPort(this.#path, { deadlineMs: handshakeDeadlineMs, signal: this.#ended.signal });
        this.#socket = socket;
        const session = await openSession(socket);
        const unwatch = watchFlood(session, socket);
        session.once("close", () => {
          unwatch();
          this.#session = undefined;
          if (!this.#ended.signal.aborted) this.#opening = this.#open();
        });
        // A session that was told to go away and then gets an invalid frame is left by Node as it is, with its streams open for ever.
        session.once("goaway", () => setTimeout(() => session.destroy(), drainMs).unref());
        if (this.#ended.signal.aborted) socket.destroy();
        this.#session = session;
        return session;
      } catch {
        // The next attempt, or the machine's end, decides.
        await sleep(pause, undefined, { ref: false });
      }
    }
  }
}
