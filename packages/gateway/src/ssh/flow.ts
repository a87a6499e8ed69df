/**
 * Flow control that the SSH library lacks. It writes to the socket whether or not the client reads, and it takes more from the client than
 * the client may send.
 */
import type { Readable, Writable } from "node:stream";
import type { Connection, ServerChannel } from "ssh2";
import { whenOver } from "./channel-end.ts";
import { forgetWaiting, isExchangingKeys, queuedMessages, socketOf, waitsForWindow } from "./library.ts";
import { sshLimits } from "./limits.ts";

/** Messages that may wait for the end of a key exchange: far more than windows and keep-alive need. */
const maxQueued = 10_000;

/** One connection's bytes towards the client. */
export class Flow {
  readonly #connection: Connection;
  readonly #waiting = new Set<() => void>();
  /** What waits for the window of a channel. */
  readonly #byChannel = new WeakMap<ServerChannel, (() => void)[]>();

  /** @param abuse called when the client makes the server keep what it does not read */
  constructor(connection: Connection, abuse: () => void) {
    this.#connection = connection;
    const socket = socketOf(connection);
    const go = () => {
      if (!this.full) for (const resume of this.#take()) resume();
    };
    socket.on("drain", go);
    connection.on("rekey", go);
    connection.once("close", () => this.#take());
    // Answers to what the client asks can fill the memory as well: it may not ask more until it has read them.
    socket.on("data", () => {
      if (queuedMessages(connection) > maxQueued) abuse();
      if (socket.writableLength <= sshLimits.unreadAnswers) return;
      socket.pause();
      socket.once("drain", () => socket.resume());
    });
  }

  /** Whether the client has to read first, or to finish a key exchange. */
  get full(): boolean {
    return socketOf(this.#connection).writableLength > sshLimits.unread || isExchangingKeys(this.#connection);
  }

  #take(): (() => void)[] {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    return waiting;
  }

  /**
   * Gives everything that can be read to a channel. Resolves when the client's window had room for all of it, or the channel has closed.
   * Never rejects, and does not destroy the source.
   *
   * Of a channel's two streams only one may wait for the window: the library would forget the other one.
   * @param target the channel, or its standard error
   */
  async copy(source: Readable, target: Writable, channel: ServerChannel): Promise<void> {
    const finished = Promise.withResolvers<void>();
    let held: Buffer | undefined;
    let pending = 0;
    let ended = false;
    const waiting = this.#waitingFor(channel);
    const blocked = () => this.full || waitsForWindow(channel);
    const written = () => {
      pending--;
      if (!waitsForWindow(channel)) {
        forgetWaiting(channel);
        for (const resume of waiting.splice(0)) resume();
      }
      settle();
    };
    const settle = () => {
      if (ended && held === undefined && pending === 0) finished.resolve();
    };
    const write = (chunk: Buffer) => {
      pending++;
      target.write(chunk, written);
    };
    const pause = () => {
      source.pause();
      if (this.full) this.#waiting.add(resume);
      else waiting.push(resume);
    };
    const resume = () => {
      if (blocked()) return pause();
      if (held !== undefined) {
        write(held);
        held = undefined;
        if (blocked()) return pause();
      }
      settle();
      source.resume();
    };
    source.on("data", (chunk: Buffer) => {
      if (blocked()) held = held === undefined ? chunk : Buffer.concat([held, chunk]);
      else write(chunk);
      if (blocked()) pause();
    });
    const end = () => {
      ended = true;
      settle();
    };
    source.once("end", end).once("error", end).once("close", end);
    whenOver(channel, finished.resolve);
    await finished.promise;
    this.#waiting.delete(resume);
  }

  #waitingFor(channel: ServerChannel): (() => void)[] {
    const known = this.#byChannel.get(channel) ?? [];
    this.#byChannel.set(channel, known);
    return known;
  }
}

/** @param violated called when the client has sent more on a channel than its window allows (RFC 4254, 5.2) */
export function enforceWindow(channel: ServerChannel, violated: () => void): void {
  const { incoming } = channel as unknown as { readonly incoming: { readonly window: number } };
  const push = channel.push.bind(channel);
  channel.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (incoming.window >= 0) return push(chunk, encoding);
    violated();
    return false;
  };
}
