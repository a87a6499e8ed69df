/** What a program prints, line by line, within bounds of memory. */
import type { Readable } from "node:stream";

/** Bytes of a line. The rest of a longer one follows as the next line. */
const longestLine = 16 * 1024;
/** Bytes that are kept of the end, to explain why a program ended. */
const keptTail = 4096;

export class OutputTail {
  #text = "";

  add(line: string): void {
    this.#text = `${this.#text}${line}\n`.slice(-keptTail);
  }

  /** The last lines. */
  get text(): string {
    return this.#text.trimEnd();
  }
}

/**
 * Calls `line` for each line, the last one also without an end. Reading keeps pace with it, so a program cannot fill our memory.
 * @returns when the stream has ended or failed
 */
export async function eachLine(stream: Readable, line: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  const take = (text: string) => {
    rest += text;
    for (;;) {
      const end = rest.indexOf("\n");
      if (end === -1 && rest.length < longestLine) return;
      const length = end === -1 ? longestLine : Math.min(end, longestLine);
      const whole = length === end;
      line(rest.slice(0, length).replace(/\r$/, ""));
      rest = rest.slice(length + (whole ? 1 : 0));
    }
  };
  try {
    for await (const chunk of stream) take(decoder.decode(chunk as Buffer, { stream: true }));
  } catch {
    // The machine has ended. What came before is what counts.
  }
  take(decoder.decode());
  if (rest !== "") line(rest);
}
