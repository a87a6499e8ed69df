/**
 * Cuts a long JSON text into its parts, which `JSON.parse` then reads. Libraries that parse JSON from streams look at each byte in
 * JavaScript: 3 MB a second, which a body of a gigabyte cannot wait for. Here strings, nearly all of such a body, are skipped by `indexOf`.
 */
import { CaissonError } from "@caisson/protocol";

const [quote, backslash, open, close, openList, closeList, comma] = [0x22, 0x5c, 0x7b, 0x7d, 0x5b, 0x5d, 0x2c];
const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
/** No valid body is deeper. */
const deepest = 12;
/** Bytes of one value that are not in strings. */
const mostStructure = 256 * 1024;

export class JsonPieces {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #maxBytes: number;
  #rest: Buffer = Buffer.alloc(0);
  #bytes = 0;

  constructor(source: AsyncIterable<Uint8Array>, maxBytes: number) {
    this.#source = source[Symbol.asyncIterator]();
    this.#maxBytes = maxBytes;
  }

  /** The next byte that is not white space; undefined at the end. It is not taken. */
  async peek(): Promise<number | undefined> {
    for (;;) {
      let at = 0;
      while (at < this.#rest.length && isSpace(this.#rest[at]!)) at++;
      this.#rest = this.#rest.subarray(at);
      if (this.#rest.length > 0) return this.#rest[0];
      if (!(await this.#more())) return undefined;
    }
  }

  /** @throws CaissonError `invalid_argument` when another byte follows */
  async expect(character: string): Promise<void> {
    if ((await this.peek()) !== character.charCodeAt(0)) throw malformed(`${JSON.stringify(character)} is missing`);
    this.#rest = this.#rest.subarray(1);
  }

  async key(): Promise<string> {
    if ((await this.peek()) !== quote) throw malformed("a name is missing");
    const key = JSON.parse((await this.#string(16_384)).toString()) as string;
    await this.expect(":");
    return key;
  }

  /** Calls `entry` for each key of an object, whose value it has to read. */
  async object(entry: (key: string) => Promise<void>): Promise<void> {
    await this.expect("{");
    if ((await this.peek()) === close) return this.expect("}");
    for (;;) {
      await entry(await this.key());
      if ((await this.peek()) !== comma) return this.expect("}");
      await this.expect(",");
    }
  }

  /** @param limit bytes @throws CaissonError `invalid_argument`, `too_large` */
  async value(limit: number): Promise<unknown> {
    const text = await this.#value(limit);
    try {
      return JSON.parse(text.toString());
    } catch (error) {
      throw malformed((error as Error).message.slice(0, 200));
    }
  }

  async #value(limit: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let [depth, bytes, structure] = [0, 0, 0];
    const add = (part: Buffer) => {
      bytes += part.length;
      if (bytes > limit) throw tooLarge(limit);
      parts.push(part);
    };
    for (;;) {
      const next = await this.peek();
      if (next === undefined) throw malformed("it ends too early");
      if (next === quote) add(await this.#string(limit));
      else {
        if (depth === 0 && (next === close || next === closeList || next === comma)) break;
        if (next === open || next === openList) depth++;
        if (next === close || next === closeList) depth--;
        if (depth > deepest || ++structure > mostStructure) throw malformed("it has too many or too deep values");
        add(this.#rest.subarray(0, 1));
        this.#rest = this.#rest.subarray(1);
        if (depth === 0 && next !== close && next !== closeList) continue;
      }
      if (depth === 0) break;
    }
    return Buffer.concat(parts);
  }

  /** With its quotes. */
  async #string(limit: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let [bytes, from, escaped] = [0, 1, false];
    for (;;) {
      let at = from;
      if (escaped && at < this.#rest.length) {
        at++;
        escaped = false;
      }
      let end = -1;
      // Each is looked for again only behind what was found: a string of escapes must not be searched to its end for each of them.
      let [found, slash] = [-2, -2];
      while (at < this.#rest.length) {
        if (found !== -1 && found < at) found = this.#rest.indexOf(quote, at);
        if (slash !== -1 && slash < at) slash = this.#rest.indexOf(backslash, at);
        if (slash === -1 || (found !== -1 && found < slash)) {
          end = found;
          break;
        }
        at = slash + 2;
      }
      escaped = end === -1 && at > this.#rest.length;
      const part = end === -1 ? this.#rest : this.#rest.subarray(0, end + 1);
      bytes += part.length;
      if (bytes > limit) throw tooLarge(limit);
      parts.push(part);
      this.#rest = this.#rest.subarray(part.length);
      if (end !== -1) return Buffer.concat(parts);
      if (!(await this.#more())) throw malformed("it ends too early");
      from = 0;
    }
  }

  async end(): Promise<void> {
    if ((await this.peek()) !== undefined) throw malformed("something follows its end");
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done === true) return false;
    this.#bytes += next.value.length;
    if (this.#bytes > this.#maxBytes)
      throw new CaissonError("too_large", `The body has more than ${this.#maxBytes} bytes, the limit.`);
    const { buffer, byteOffset, byteLength } = next.value;
    this.#rest = Buffer.from(buffer, byteOffset, byteLength);
    return true;
  }
}

function malformed(why: string): CaissonError {
  return new CaissonError("invalid_argument", `The body is not valid JSON: ${why}.`);
}

function tooLarge(limit: number): CaissonError {
  return new CaissonError(
    "too_large",
    `A part of the body takes more than ${limit} bytes of JSON, the limit. Deploy larger files from a sandbox.`,
  );
}
