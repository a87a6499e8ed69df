/** Takes content codings off a response, so that what it says can be read. */
import { pipeline, type Transform } from "node:stream";
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from "node:zlib";

const decoders: Record<string, () => Transform> = {
  gzip: () => createGunzip(),
  "x-gzip": () => createGunzip(),
  deflate: () => createInflate(),
  br: () => createBrotliDecompress(),
  // 8 MiB is the window that RFC 9659 allows on the web.
  zstd: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 23 } }),
};

const maxLayers = 3;

/** The codings named by `content-encoding`, in the order they were applied; undefined when one is unknown. */
export function knownCodings(header: string | undefined): readonly string[] | undefined {
  const codings = (header ?? "")
    .toLowerCase()
    .split(",")
    .map((coding) => coding.trim())
    .filter((coding) => coding !== "" && coding !== "identity");
  return codings.length <= maxLayers && codings.every((coding) => Object.hasOwn(decoders, coding))
    ? codings
    : undefined;
}

export interface Decoder {
  /** False when the input should wait for `drain` on `input`. */
  readonly input: Transform;
  readonly output: Transform;
}

/** @param codings at least one, all known. Errors of every stage reach `onError`. */
export function createDecoder(codings: readonly string[], onError: (error: Error) => void): Decoder {
  const stages = codings.toReversed().map((coding) => decoders[coding]!());
  const [input, output] = [stages[0]!, stages.at(-1)!];
  if (stages.length === 1) input.once("error", onError);
  else pipeline(stages, (error) => void (error && onError(error)));
  return { input, output };
}
