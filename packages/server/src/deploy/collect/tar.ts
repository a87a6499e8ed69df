/**
 * Reads an archive in GNU tar's format, as `tar --format=gnu` writes it. It comes from a guest, so nothing of it is trusted. Libraries
 * keep headers of any announced length in memory before they hand them out; here a long name has at most `maxName` bytes, and extended
 * headers (pax), which the format does not have, are refused.
 */
import { CaissonError } from "@caisson/protocol";

export type TarEntry =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "symlink"; readonly path: string; readonly target: string }
  /** The content must be read to its end before the next entry is asked for. */
  | {
      readonly kind: "file";
      readonly path: string;
      readonly size: number;
      readonly executable: boolean;
      readonly content: AsyncIterable<Buffer>;
    };

/** Of `tar`, so that it writes what `readTar` reads. Files with holes are written whole. */
export const tarOptions = ["--format=gnu", "--hard-dereference", "--warning=no-file-changed"];

const block = 512;
/** PATH_MAX of Linux. */
const maxName = 4096;

/** @throws CaissonError `guest_error` when the archive is cut off or is not one */
export async function* readTar(source: AsyncIterable<Buffer>): AsyncGenerator<TarEntry> {
  const input = new Input(source);
  let longName: string | undefined;
  let longTarget: string | undefined;
  for (;;) {
    const header = await input.exactly(block);
    if (header.every((byte) => byte === 0)) break;
    checkSum(header);
    const size = octal(header.subarray(124, 136));
    const type = String.fromCharCode(header[156]!);
    if (type === "L" || type === "K") {
      if (size > maxName + 1) throw damaged(`a name of ${size} bytes`);
      const name = text(await input.exactly(padded(size)), size);
      if (type === "L") longName = name;
      else longTarget = name;
      continue;
    }
    const path = longName ?? text(header, 100);
    const target = longTarget ?? text(header.subarray(157), 100);
    longName = longTarget = undefined;
    if (type === "0" || type === "\0") {
      const content = input.part(size);
      const executable = (octal(header.subarray(100, 108)) & 0o111) !== 0;
      yield { kind: "file", path, size, executable, content };
      await input.exactly(padded(size) - size);
    } else if (type === "5") yield { kind: "directory", path: path.replace(/\/+$/, "") };
    else if (type === "2") yield { kind: "symlink", path, target };
    // Devices and pipes are not files of an app.
    else if (!["3", "4", "6"].includes(type) || size !== 0) throw damaged(`an entry of type ${JSON.stringify(type)}`);
  }
  await input.drain();
}

class Input {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At least one byte, at most `most`. */
  async some(most: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) throw damaged("no end");
      this.#rest = next.value;
    }
    const taken = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(taken.length);
    return taken;
  }

  async exactly(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let missing = length; missing > 0; missing -= parts.at(-1)!.length) parts.push(await this.some(missing));
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  async *part(length: number): AsyncGenerator<Buffer> {
    for (let missing = length; missing > 0;) {
      const chunk = await this.some(missing);
      missing -= chunk.length;
      yield chunk;
    }
  }

  /** What follows the end of the archive. */
  async drain(): Promise<void> {
    while ((await this.#source.next()).done !== true);
  }
}

function padded(size: number): number {
  return Math.ceil(size / block) * block;
}

function text(bytes: Buffer, most: number): string {
  const end = bytes.indexOf(0);
  const name = bytes.subarray(0, Math.min(end === -1 ? most : end, most));
  const decoded = name.toString("utf8");
  if (!Buffer.from(decoded).equals(name)) throw damaged("a name that is not UTF-8");
  return decoded;
}

function octal(bytes: Buffer): number {
  const digits = bytes
    .toString("latin1")
    .replace(/[\0 ]+$/, "")
    .replace(/^ +/, "");
  if (!/^[0-7]{0,11}$/.test(digits)) throw damaged("a number that is not octal");
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

function checkSum(header: Buffer): void {
  let sum = 0;
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 32 : byte;
  if (sum !== octal(header.subarray(148, 156))) throw damaged("a wrong checksum");
}

function damaged(what: string): CaissonError {
  return new CaissonError("guest_error", `The files could not be read from the sandbox: the archive has ${what}.`);
}
