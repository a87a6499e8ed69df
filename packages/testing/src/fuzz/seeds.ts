/** Seeds are files in `<package>/seeds/<target>/`: what a target begins with, and every input that ever failed. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";

/** How an input is written to a file. */
export interface Codec<T> {
  readonly extension: string;
  encode(value: T): Buffer;
  decode(bytes: Buffer): T;
}

export const asBytes: Codec<Buffer> = { extension: "bin", encode: (value) => value, decode: (bytes) => bytes };
export const asText: Codec<string> = {
  extension: "txt",
  encode: (value) => Buffer.from(value),
  decode: (bytes) => bytes.toString("utf8"),
};
export function asJson<T>(): Codec<T> {
  return {
    extension: "json",
    encode: (value) => Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`),
    decode: (bytes) => JSON.parse(bytes.toString("utf8")) as T,
  };
}

export interface Seed<T> {
  readonly file: string;
  readonly value: T;
}

/** @param directory of the target's source, somewhere below `src` of its package */
function seedFolder(directory: string, name: string): string {
  const source = directory.lastIndexOf(`${sep}src`);
  return join(directory.slice(0, source), "seeds", name);
}

export function readSeeds<T>(directory: string, name: string, codec: Codec<T>): Seed<T>[] {
  const folder = seedFolder(directory, name);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(`.${codec.extension}`))
    .toSorted()
    .map((file) => ({ file, value: codec.decode(readFileSync(join(folder, file))) }));
}

/** @returns the path; the same input gets the same name */
export function keepSeed<T>(directory: string, name: string, codec: Codec<T>, value: T): string {
  const bytes = codec.encode(value);
  const folder = seedFolder(directory, name);
  mkdirSync(folder, { recursive: true });
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 8);
  const path = join(folder, `found-${hash}.${codec.extension}`);
  writeFileSync(path, bytes);
  return path;
}
