/**
 * A stream of HTTP/2 as a connection for an HTTP/1.1 server. The server must not write to the stream itself: Node 24
 * frees the memory of strings that are written to an `Http2Stream` together with other chunks before they are sent, and
 * the peer then gets whatever that memory contains by then. Through here only buffers reach the stream.
 */
import { Duplex } from "node:stream";

export class Http2StreamSocket extends Duplex {
  readonly #inner: Duplex;

  constructor(inner: Duplex) {
    super({ allowHalfOpen: true, decodeStrings: true });
    this.#inner = inner;
    inner.on("data", (chunk: Buffer) => void (this.push(chunk) || inner.pause()));
    inner.once("end", () => this.push(null));
    inner.once("close", () => this.destroy());
    inner.on("error", (error) => this.destroy(error));
    this.on("error", () => {});
  }

  override _read(): void {
    this.#inner.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#inner.destroyed) callback(new Error("The guest has disconnected"));
    else this.#inner.write(chunk, callback);
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    this._write(
      chunks.length === 1 ? chunks[0]!.chunk : Buffer.concat(chunks.map(({ chunk }) => chunk)),
      "latin1",
      callback,
    );
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#inner.end(() => callback());
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#inner.destroy();
    callback(error);
  }
}
