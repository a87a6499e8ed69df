/** Splits the byte stream of a QMP socket into messages. A monitor may have been taken over by its guest: everything is bounded. */
import { CaissonError } from "@caisson/protocol";

/** Far above any answer that Caisson asks for; the largest is a ring buffer of the console. */
export const maximumLineBytes = 1 << 20;

export type QmpMessage = Readonly<Record<string, unknown>>;

export interface QmpLine {
  readonly message: QmpMessage;
  readonly bytes: number;
}

/**
 * Feed it chunks, get whole messages.
 * @throws CaissonError `internal` on a line that is too long or no JSON object
 */
export class QmpLines {
  #parts: Buffer[] = [];
  #length = 0;

  /** One by one: a caller that stops leaves the rest of the chunk unparsed. */
  *push(chunk: Buffer): Generator<QmpLine> {
    let rest = chunk;
    for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a)) {
      this.#take(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
      const bytes = this.#length;
      const line = Buffer.concat(this.#parts, bytes).toString("utf8").trim();
      this.#parts = [];
      this.#length = 0;
      if (line !== "") yield { message: parse(line), bytes };
    }
    this.#take(rest);
  }

  #take(part: Buffer): void {
    if (part.length === 0) return;
    this.#length += part.length;
    if (this.#length > maximumLineBytes)
      throw new CaissonError("internal", "The virtual machine monitor sent a message of more than 1 MiB, the limit.");
    this.#parts.push(part);
  }
}

function parse(line: string): QmpMessage {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new CaissonError("internal", "The virtual machine monitor sent a line that is not a QMP message.", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CaissonError("internal", "The virtual machine monitor sent a line that is not a QMP message.");
  }
  return value as QmpMessage;
}
