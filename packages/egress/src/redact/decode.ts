/** Takes content codings off a response, so that what it says can be read. All that was sent is decoded, or decoding fails. */
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
interface Coding {
  /** @param first byte of the stream */
  readonly start: (first: number) => Engine;
  /** Several streams in a row are one body (RFC 1952 2.2, RFC 8878 3). */
  readonly repeats: boolean;
}

const gzip: Coding = { start: () => createGunzip(), repeats: true };
const known: Record<string, Coding> = {
  gzip,
  "x-gzip": gzip,
  // Some hosts leave zlib's header away, and browsers bear with it: no bare stream begins as a header does (RFC 1950 2.2).
  deflate: { start: (first) => ((first & 15) === 8 ? createInflate() : createInflateRaw()), repeats: false },
  br: { start: () => createBrotliDecompress(), repeats: false },
  // 8 MiB is the window that RFC 9659 allows on the web.
  zstd: { start: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 23 } }), repeats: true },
};

const maxLayers = 3;

/** The codings named by `content-encoding`, in the order they were applied; undefined when one is unknown. */
export function knownCodings(header: string | undefined): readonly string[] | undefined {
  const codings = (header ?? "")
    .toLowerCase()
    .split(",")
    .map((coding) => coding.trim())
    .filter((coding) => coding !== "" && coding !== "identity");
  return codings.length <= maxLayers && codings.every((coding) => Object.hasOwn(known, coding)) ? codings : undefined;
}

export interface Decoder {
  /** False when the input should wait for `drain` on `input`. */
  readonly input: Transform;
  readonly output: Transform;
}

/** @param codings at least one, all known. Errors of every stage reach `onError`. */
export function createDecoder(codings: readonly string[], onError: (error: Error) => void): Decoder {
  const stages = codings.toReversed().map((coding) => new Decoding(known[coding]!));
  const [input, output] = [stages[0]!, stages.at(-1)!];
  if (stages.length === 1) input.once("error", onError);
  else pipeline(stages, (error) => void (error && onError(error)));
  return { input, output };
}

/**
 * Node's engines end with the first stream of a body, and with it say that the body is whole; what follows is lost without a word.
 * A host could hide the greater part of an answer in this way, or by accident have it cut. Here the next stream gets an engine of its
 * own. No stream at all is an empty body: hosts send the header with answers that have none.
 */
class Decoding extends Transform {
  readonly #coding: Coding;
  #engine: Engine | undefined;
  /** Bytes that the engine was given; it tells how many of them it took. */
  #given = 0;

  constructor(coding: Coding) {
    super();
    this.#coding = coding;
  }

  override _transform(chunk: Buffer, encoding: BufferEncoding, callback: TransformCallback): void {
    if (chunk.length === 0) return callback();
    this.#engine ??= this.#start(chunk[0]!);
    const engine = this.#engine;
    this.#given += chunk.length;
    // An error has been told by the engine itself.
    engine.write(chunk, (error) => {
      if (error) return;
      const left = this.#given - engine.bytesWritten;
      if (left === 0) return callback();
      if (!this.#coding.repeats) return callback(new Error("Data follows the end of a compressed body"));
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
    const engine = this.#coding.start(first);
    engine.on("data", (piece: Buffer) => this.push(piece) || engine.pause());
    engine.once("error", (error) => this.destroy(error));
    return engine;
  }
}
