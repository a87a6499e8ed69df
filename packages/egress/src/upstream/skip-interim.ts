/**
 * Takes interim answers (1xx) out of what an HTTP/1.1 upstream sends, except 101. Some servers send `100 Continue` although nobody asked, which
 * a client must accept (RFC 9110 15.2); undici takes it for a broken answer. None of them is forwarded anyway.
 */
import type { Socket } from "node:net";

/** Bytes of one interim answer. */
const longest = 64 * 1024;
const beginning = "HTTP/1.1 1";

export interface InterimAnswers {
  /** A request is sent, so the next bytes begin an answer. */
  expect(): void;
}

export function skipInterim(socket: Socket): InterimAnswers {
  const read = socket.read.bind(socket) as (size?: number) => Buffer | null;
  let watching = true;
  let held: Buffer | undefined;
  /** What can go on; undefined when more must come first. */
  const next = (): Buffer | undefined => {
    while (held !== undefined) {
      const kind = kindOf(held);
      if (kind === "more") return undefined;
      const end = kind === "interim" ? held.indexOf("\r\n\r\n") : -1;
      if (end < 0 && kind === "interim" && held.length <= longest) return undefined;
      if (end < 0) {
        const all = held;
        [held, watching] = [undefined, false];
        return all;
      }
      held = held.length === end + 4 ? undefined : held.subarray(end + 4);
    }
    return undefined;
  };
  socket.read = (size?: number): Buffer | null => {
    // Node itself calls it with 0, to have more read into the buffer.
    if (size !== undefined) return read(size);
    for (;;) {
      const chunk = read();
      if (chunk === null || !watching) return chunk;
      held = held === undefined ? chunk : Buffer.concat([held, chunk]);
      const ready = next();
      if (ready !== undefined) return ready;
    }
  };
  return { expect: () => void (watching = true) };
}

function kindOf(bytes: Buffer): "more" | "interim" | "other" {
  for (let index = 0; index < beginning.length; index++) {
    if (index === bytes.length) return "more";
    const isMinor = index === 7;
    if (isMinor ? bytes[index] !== 48 && bytes[index] !== 49 : bytes[index] !== beginning.charCodeAt(index))
      return "other";
  }
  if (bytes.length < beginning.length + 2) return "more";
  return bytes.toString("latin1", beginning.length, beginning.length + 2) === "01" ? "other" : "interim";
}
