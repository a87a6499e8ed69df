/**
 * Bounds request heads before they are complete. Node's parser has one limit for all of them, which must be the largest: that of a
 * create. Here a head that is no create may have less, and only a few large ones are read at a time.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { AddressShares } from "@caisson/http1";
import { createPath, headBytes } from "./gate.ts";

/** Large heads that are read at a time: of one address, and in all. Others wait, within the time that a head may take. */
const largePerAddress = 8;
const maxLarge = 64;

const createLine = new RegExp(`^GET ${createPath}[? ]`);

export class Heads {
  readonly #shares = new AddressShares(largePerAddress);
  readonly #waiting = new Set<() => void>();
  readonly #watched = new WeakMap<Socket, HeadWatch>();
  #large = 0;

  /**
   * Watches all heads of a connection.
   * @param refuse answers that a head is too large, and closes
   */
  watch(socket: Socket, refuse: () => void): void {
    const watch = new HeadWatch(socket, this, refuse);
    this.#watched.set(socket, watch);
  }

  /** The head of a request is complete. */
  complete(request: IncomingMessage): void {
    this.#watched.get(request.socket)?.complete(request);
  }

  /** The connection is none of HTTP any more. */
  release(socket: Socket): void {
    this.#watched.get(socket)?.release();
  }

  /** @returns whether the bytes may be the beginning of a large head */
  mayBeLarge(start: Buffer): boolean {
    return createLine.test(start.subarray(0, createPath.length + 6).toString("latin1"));
  }

  /** @returns gives the place back; undefined: none is free, and `retry` is called when one may be */
  takeLarge(address: string, retry: () => void): (() => void) | undefined {
    const giveBack = this.#large < maxLarge ? this.#shares.take(address) : undefined;
    if (giveBack === undefined) {
      this.#waiting.add(retry);
      return undefined;
    }
    this.#large++;
    return () => {
      giveBack();
      this.#large--;
      for (const next of [...this.#waiting]) {
        this.#waiting.delete(next);
        next();
      }
    };
  }

  stopWaiting(retry: () => void): void {
    this.#waiting.delete(retry);
  }
}

class HeadWatch {
  readonly #socket: Socket;
  readonly #heads: Heads;
  readonly #refuse: () => void;
  /** The request line so far, or more. */
  #start: Buffer = Buffer.alloc(0);
  #bytes = 0;
  #message: IncomingMessage | undefined;
  #giveBack: (() => void) | undefined;
  readonly #onData = (chunk: Buffer) => this.#read(chunk);
  #paused = false;
  readonly #retry = () => this.#takeLarge();

  constructor(socket: Socket, heads: Heads, refuse: () => void) {
    this.#socket = socket;
    this.#heads = heads;
    this.#refuse = refuse;
    // Before the parser's own listener, so that what is refused here is not yet parsed.
    socket.prependListener("data", this.#onData);
    socket.once("close", () => this.release());
  }

  #read(chunk: Buffer): void {
    // Of a body. The next head may begin in the same chunk; it is counted from its second one.
    if (this.#message?.complete === false) return;
    if (this.#start.length < 256) this.#start = Buffer.concat([this.#start, chunk.subarray(0, 256)]);
    this.#bytes += chunk.length;
    if (this.#bytes <= headBytes.usual || this.#giveBack !== undefined) return;
    if (this.#heads.mayBeLarge(this.#start)) this.#takeLarge();
    else if (!chunk.includes("\r\n\r\n")) this.#refuse();
  }

  #takeLarge(): void {
    this.#giveBack = this.#heads.takeLarge(this.#socket.remoteAddress ?? "", this.#retry);
    if (this.#giveBack !== undefined) return this.#resume();
    this.#paused = true;
    this.#socket.pause();
  }

  #resume(): void {
    if (this.#paused) this.#socket.resume();
    this.#paused = false;
  }

  complete(message: IncomingMessage): void {
    this.#message = message;
    this.#bytes = 0;
    this.#start = Buffer.alloc(0);
    this.#done();
  }

  release(): void {
    this.#socket.removeListener("data", this.#onData);
    this.#done();
  }

  #done(): void {
    this.#heads.stopWaiting(this.#retry);
    this.#giveBack?.();
    this.#giveBack = undefined;
    this.#resume();
  }
}
