/** The two forms of a stream of JSON values (wire contract 1.9): server-sent events, or one value a line. */

export type StreamFormat = "sse" | "ndjson";

export const mediaTypes: Readonly<Record<StreamFormat, string>> = {
  sse: "text/event-stream",
  ndjson: "application/x-ndjson",
};

/** Lines only when the client names them: the official clients read events without asking for them. */
export function formatFor(accept: string | undefined): StreamFormat {
  return accept !== undefined && /application\/(x-)?(ndjson|jsonl?)\b/i.test(accept) ? "ndjson" : "sse";
}

/** @param json one value, without line breaks. LF only and exactly one `data: ` line: the clients' parsers know nothing else (T20) */
export function frame(format: StreamFormat, json: string): string {
  return format === "sse" ? `data: ${json}\n\n` : `${json}\n`;
}

/** Something that both forms ignore, for a client that takes silence for a dead connection. */
export function keepAlive(format: StreamFormat): string {
  return format === "sse" ? ": keep-alive\n\n" : "\n";
}
