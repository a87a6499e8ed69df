/** The last bytes of an output. */
export class Scrollback {
  readonly #limit: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #truncated = false;

  /** @param limit bytes that are kept */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** There was more than is kept. */
  get truncated(): boolean {
    return this.#truncated;
  }

  add(chunk: Buffer): void {
    // A copy: a part of a large buffer would keep all of it.
    this.#chunks.push(Buffer.from(chunk.subarray(-this.#limit)));
    this.#bytes += Math.min(chunk.length, this.#limit);
    this.#truncated ||= chunk.length > this.#limit;
    while (this.#bytes > this.#limit) {
      const first = this.#chunks[0]!;
      const surplus = this.#bytes - this.#limit;
      this.#truncated = true;
      if (first.length <= surplus) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(surplus);
      this.#bytes -= Math.min(first.length, surplus);
    }
    // Thousands of small pieces would take more than their bytes.
    if (this.#chunks.length > 256) this.#chunks.splice(0, this.#chunks.length, Buffer.concat(this.#chunks));
  }

  /** From the start of a line when the beginning is lost: the middle of a control sequence would be shown as text. */
  content(): Buffer {
    const all = Buffer.concat(this.#chunks);
    if (!this.#truncated) return all;
    const line = all.indexOf(0x0a);
    return line === -1 ? all : all.subarray(line + 1);
  }
}
