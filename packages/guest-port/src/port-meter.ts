/**
 * Meters what a guest sends on an HTTP/2 port of its own accord. HTTP/2 allows any number of control frames (PING, SETTINGS,
 * WINDOW_UPDATE, interim heads) and of tiny chunks of content. Each is small and legal, and together they keep the event loop busy that
 * serves everybody. So everything that is not content of an open stream comes out of token buckets, whether streams are open or not.
 * A guest that sends more is to be ended: `exceeded` resolves.
 */
import type { Http2Stream } from "node:http2";
import type { Socket } from "node:net";
import { frameHeaderBytes, type PortLimits, sentPerReturned, smallChunk } from "./limits.ts";
import { TokenBucket } from "./token-bucket.ts";

/** Node's HTTP/2 reads the socket itself: the only thing to see are its counters. Milliseconds between looks. */
const inspectMs = 250;

/** A connection that the guest broke counts as so many: no correct guest breaks one. */
const perBroken = 8;

/** For one guest and port, over all its connections. */
export class PortMeter {
  /** Resolves, once, with what the guest did. */
  readonly exceeded: Promise<string>;
  readonly limits: PortLimits;
  readonly #exceeded = Promise.withResolvers<string>();
  readonly #buckets: Readonly<Record<"overhead" | "chunks" | "connections" | "stale" | "late", TokenBucket>>;
  #over = false;

  constructor(limits: PortLimits) {
    this.limits = limits;
    this.exceeded = this.#exceeded.promise;
    this.#buckets = {
      overhead: new TokenBucket(limits.overhead),
      chunks: new TokenBucket(limits.chunks),
      connections: new TokenBucket(limits.connections),
      stale: new TokenBucket(limits.stale),
      late: new TokenBucket(limits.late),
    };
  }

  /** Whether the guest has sent too much. Nothing of it is to be read any more. */
  get over(): boolean {
    return this.#over;
  }

  /** A handshake begins. @returns whether it may */
  connecting(): boolean {
    return this.#take("connections", 1, "The guest breaks the protocol of its port again and again");
  }

  /**
   * A connection ended because the guest broke HTTP/2. A flood of control frames ends one after a few of them, so the bytes alone would
   * never be too many, however often it happens.
   */
  broken(): void {
    this.#take("connections", perBroken, "The guest breaks the protocol of its port again and again");
  }

  /** Bytes before the answer to a handshake. @returns whether to go on */
  stale(bytes: number): boolean {
    return this.#take("stale", bytes, "The guest floods its port without answering the handshake");
  }

  /**
   * Meters a connection whose handshake is done, until its socket closes. Destroys the socket when the guest sends too much.
   * @param onWork called before content or the head of an answer is handed on
   */
  watch(socket: Socket, onWork?: () => void): ConnectionMeter {
    return new ConnectionMeter(socket, this.limits, {
      onWork,
      overhead: (bytes) => this.#take("overhead", bytes, "The guest floods its port with HTTP/2 control frames"),
      chunks: (count) => this.#take("chunks", count, "The guest floods its port with tiny HTTP/2 frames"),
      late: (bytes) => bytes - this.#buckets.late.take(bytes),
    });
  }

  #take(what: "overhead" | "chunks" | "connections" | "stale", amount: number, reason: string): boolean {
    if (this.#over) return false;
    if (this.#buckets[what].take(amount) === 0) return true;
    this.#over = true;
    this.#exceeded.resolve(`${reason}.`);
    return false;
  }
}

interface Takers {
  readonly onWork: (() => void) | undefined;
  readonly overhead: (bytes: number) => boolean;
  readonly chunks: (count: number) => boolean;
  /** Answers how many of the bytes are allowed. */
  readonly late: (bytes: number) => number;
}

const watched = new Set<ConnectionMeter>();
let timer: NodeJS.Timeout | undefined;

export class ConnectionMeter {
  readonly #socket: Socket;
  readonly #limits: PortLimits;
  readonly #takers: Takers;
  #read: number;
  #written: number;
  /** Since the last look. */
  #content = 0;
  #chunks = 0;
  /** Bytes not yet charged; negative: allowed in addition. */
  #balance = 0;
  /** Bytes that may still arrive on closed streams. */
  #late = 0;

  constructor(socket: Socket, limits: PortLimits, takers: Takers) {
    this.#socket = socket;
    this.#limits = limits;
    this.#takers = takers;
    this.#read = socket.bytesRead;
    this.#written = socket.bytesWritten;
    watched.add(this);
    // One timer for all guests; it keeps no process alive.
    timer ??= setInterval(inspectAll, inspectMs).unref();
    socket.once("close", () => {
      watched.delete(this);
      this.inspect();
      if (watched.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    });
  }

  /** Counts what a stream delivers. Call it before anything is read from the stream. */
  follow(stream: Http2Stream): void {
    this.#balance -= this.#limits.perStream;
    const push = stream.push.bind(stream);
    // Node hands content to `push`. A listener for `data` would make the stream flow.
    stream.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
      this.#takers.onWork?.();
      if (chunk !== null) {
        this.#content += chunk.length;
        this.#chunks++;
      }
      return push(chunk, encoding);
    };
    if (this.#takers.onWork !== undefined) stream.once("response", this.#takers.onWork);
    stream.once("close", () => {
      this.#late = Math.min(this.#late + this.#limits.window, this.#limits.late.burst);
    });
  }

  /** @returns false when the guest has sent too much; the socket is destroyed then */
  inspect(): boolean {
    const { bytesRead, bytesWritten } = this.#socket;
    const returned = (bytesWritten - this.#written) / sentPerReturned;
    const content = this.#content + this.#chunks * frameHeaderBytes;
    const small = Math.max(0, this.#chunks - this.#content / smallChunk);
    this.#balance += bytesRead - this.#read - content - returned;
    this.#read = bytesRead;
    this.#written = bytesWritten;
    this.#content = 0;
    this.#chunks = 0;
    let over = Math.max(0, this.#balance);
    // What was allowed and not used does not add up without end.
    this.#balance = Math.max(-this.#limits.overhead.burst, Math.min(0, this.#balance));
    const late = this.#takers.late(Math.min(over, this.#late));
    this.#late -= late;
    over -= late;
    const fine = this.#takers.overhead(over) && this.#takers.chunks(small);
    if (!fine) this.#socket.destroy();
    return fine;
  }
}

function inspectAll(): void {
  for (const connection of watched) connection.inspect();
}
