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

const outputMark = " Its last output:\n";

/** A message for the owner of the program: what happened, and what it printed last. */
export function withOutput(what: string, { text }: OutputTail): string {
  return text === "" ? `${what} It printed nothing.` : what + outputMark + text;
}

/** The same message for visitors and for the server's log: what a program prints may contain secrets. */
export function withoutOutput(message: string): string {
  return message.split(outputMark, 1)[0]!;
}

/**
 * Calls `line` for each line, the last one also without an end. Reading keeps pace with it, so a program cannot fill our memory.
 * @param line may return a promise. Lines that arrived together do not wait for each other, later ones do
 * @returns when the stream has ended or failed
 */
export async function eachLine(stream: Readable, line: (text: string) => unknown): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  let taken: unknown;
  const take = (text: string) => {
    rest += text;
    for (;;) {
      const end = rest.indexOf("\n");
      if (end === -1 && rest.length < longestLine) return;
      const length = end === -1 ? longestLine : Math.min(end, longestLine);
      const whole = length === end;
      taken = line(rest.slice(0, length).replace(/\r$/, ""));
      rest = rest.slice(length + (whole ? 1 : 0));
    }
  };
  try {
    for await (const chunk of stream) {
      take(decoder.decode(chunk as Buffer, { stream: true }));
      await taken;
    }
  } catch {
    // The machine has ended. What came before is what counts.
  }
  take(decoder.decode());
  if (rest !== "") taken = line(rest);
  await taken;
}

/** Waits for the output of a program that has ended, at most so many milliseconds: what it started may hold the output open. */
export async function lastOutput(output: Promise<unknown>, most: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, most)));
  await Promise.race([output, late]).finally(() => clearTimeout(timer));
}
