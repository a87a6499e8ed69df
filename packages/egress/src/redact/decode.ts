/** Decodes compressed responses (Content-Encoding), so that they can be searched. All of the data is decoded, or decoding fails. */
import { pipeline, Transform, type TransformCallback } from "node:stream";
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
  type Zlib,
} from "node:zlib";

type Engine = Transform & Zlib;
interface Encoding {
  /** @param first byte of the stream */
  readonly start: (first: number) => Engine;
  /** Several streams in a row are one body (RFC 1952 2.2, RFC 8878 3). */
  readonly repeats: boolean;
}

const gzip: Encoding = { start: () => createGunzip(), repeats: true };
const known: Record<string, Encoding> = {
  gzip,
  "x-gzip": gzip,
  // Some hosts leave zlib's header away, and browsers bear with it: no bare stream begins as a header does (RFC 1950 2.2).
  deflate: { start: (first) => ((first & 15) === 8 ? createInflate() : createInflateRaw()), repeats: false },
  br: { start: () => createBrotliDecompress(), repeats: false },
  // 8 MiB is the window that RFC 9659 allows on the web.
  zstd: { start: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 23 } }), repeats: true },
};

const maxLayers = 3;
/** Some stores return what an upload said, although it does not describe the stored bytes: a framing of the upload, or a character set. */
const plain = new Set(["", "identity", "none", "binary", "aws-chunked", "utf-8", "utf8", "us-ascii", "iso-8859-1"]);

/** The encodings named by `content-encoding`, in the order they were applied; undefined when one is unknown. */
export function knownEncodings(header: string | undefined): readonly string[] | undefined {
  const encodings = (header ?? "")
    .toLowerCase()
    .split(",")
    .map((encoding) => encoding.trim())
    .filter((encoding) => !plain.has(encoding));
  return encodings.length <= maxLayers && encodings.every((encoding) => Object.hasOwn(known, encoding))
    ? encodings
    : undefined;
}

export interface Decoder {
  /** False when the input should wait for `drain` on `input`. */
  readonly input: Transform;
  readonly output: Transform;
}

/** @param encodings at least one, all known. Errors of every stage reach `onError`. */
export function createDecoder(encodings: readonly string[], onError: (error: Error) => void): Decoder {
  const stages = encodings.toReversed().map((encoding) => new Decoding(known[encoding]!));
  const [input, output] = [stages[0]!, stages.at(-1)!];
  if (stages.length === 1) input.once("error", onError);
  else pipeline(stages, (error) => void (error && onError(error)));
  return { input, output };
}

/**
 * Node's engines end with the first stream of a body, and report that the body is complete; the data that follows is lost without an error.
 * An upstream could hide most of a response in this way, or have it cut by accident. Here the next stream gets an engine of its
 * own. No stream at all is an empty body: hosts send the header with answers that have none.
 */
class Decoding extends Transform {
  readonly #encoding: Encoding;
  #engine: Engine | undefined;
  /** Bytes that the engine was given; it reports how many of them it used. */
  #given = 0;

  constructor(encoding: Encoding) {
    super();
    this.#encoding = encoding;
  }

  override _transform(chunk: Buffer, encoding: BufferEncoding, callback: TransformCallback): void {
    if (chunk.length === 0) return callback();
    this.#engine ??= this.#start(chunk[0]!);
    const engine = this.#engine;
    this.#given += chunk.length;
    // The engine itself has reported the error.
    engine.write(chunk, (error) => {
      if (error) return;
      const left = this.#given - engine.bytesWritten;
      if (left === 0) return callback();
      if (!this.#encoding.repeats) return callback(new Error("Data follows the end of a compressed body"));
      const next = (): void => {
        engine.destroy();
        this.#engine = undefined;
        this._transform(chunk.subarray(-left), encoding, callback);
      };
      if (engine.readableEnded) next();
      else engine.once("end", next);
    });
  }

  override _flush(callback: TransformCallback): void {
    if (this.#engine === undefined) return callback();
    this.#engine.once("end", callback).end();
  }

  override _read(size: number): void {
    this.#engine?.resume();
    super._read(size);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#engine?.destroy();
    callback(error);
  }

  #start(first: number): Engine {
    this.#given = 0;
    const engine = this.#encoding.start(first);
    engine.on("data", (piece: Buffer) => this.push(piece) || engine.pause());
    engine.once("error", (error) => this.destroy(error));
    return engine;
  }
}
