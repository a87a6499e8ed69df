/** Peers that answer over HTTP/1.1 as an input says: rightly or wrongly, in which pieces, and with which end. */
import type { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { cut } from "./bytes.ts";

export interface PeerScript {
  /** For the target: how it asks, and how it takes the answer. */
  readonly choice: number;
  readonly pieces: readonly Buffer[];
  readonly ending: "end" | "reset" | "stay";
  /** It does not wait for the request. */
  readonly early: boolean;
  /** The connection is a stream of HTTP/2, as to programs in a sandbox. */
  readonly tunnelled: boolean;
  /** What must come out: the answer is right, and its end was sent. Undefined: it may be anything. */
  readonly body: Buffer | undefined;
}

/** Bytes of an input before the answer: two of bits, one of what the target chooses, one of the length. */
const controlBytes = 4;
const fillUnit = 4096;
export const framings = ["length", "length-and-close", "chunked", "until-end", "switch"] as const;
export type Framing = (typeof framings)[number];

/** How the bytes of a right answer are written. */
export function http1Answer(framing: Framing, body: Buffer): Buffer {
  const head = (...lines: string[]) => Buffer.from(["HTTP/1.1 200 OK", ...lines, "", ""].join("\r\n"));
  switch (framing) {
    case "length":
      return Buffer.concat([head(`content-length: ${body.length}`), body]);
    case "length-and-close":
      return Buffer.concat([head(`content-length: ${body.length}`, "connection: close"), body]);
    case "until-end":
      return Buffer.concat([head("connection: close"), body]);
    case "switch":
      return Buffer.concat([
        Buffer.from("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
        body,
      ]);
    default: {
      const chunks = cut(body, 30_000, body.length).flatMap((chunk) => [
        Buffer.from(`${chunk.length.toString(16)}\r\n`),
        chunk,
        Buffer.from("\r\n"),
      ]);
      return Buffer.concat([head("transfer-encoding: chunked"), ...chunks, Buffer.from("0\r\n\r\n")]);
    }
  }
}

/** @param right framings of right answers to what this target asks */
export function peerScript(input: Buffer, right: (choice: number) => readonly Framing[]): PeerScript {
  const [flags = 0, more = 0, choice = 0, fill = 0] = input;
  const given = Buffer.concat([input.subarray(controlBytes), Buffer.alloc((fill % 64) * fillUnit, "x")]);
  const asked = right(choice);
  const framing = (flags & 1) === 1 ? asked[more % Math.max(1, asked.length)] : undefined;
  const ending = (["end", "end", "reset", "stay"] as const)[(flags >> 1) & 3]!;
  const bytes = framing === undefined ? given : http1Answer(framing, given);
  const whole = ending === "end" || (ending === "stay" && (framing === "length" || framing === "chunked"));
  const most = [bytes.length, 3, 1448, 65_536][(flags >> 3) & 3]!;
  return {
    choice,
    pieces: most >= bytes.length ? [bytes] : cut(bytes, Math.max(most, bytes.length >> 5), crc32(bytes)),
    ending,
    early: (flags & 0x20) !== 0,
    tunnelled: (flags & 0x40) !== 0,
    body: framing !== undefined && whole ? given : undefined,
  };
}

/** Resolves when all is sent; the stream may stay open. */
export async function playPeer(stream: Duplex, { pieces, ending, early }: PeerScript): Promise<void> {
  stream.on("error", () => undefined);
  const asked = new Promise<void>((resolve) => {
    for (const event of ["data", "end", "close"]) stream.once(event, () => resolve());
  });
  if (!early) await asked;
  stream.resume();
  for (const piece of pieces) {
    if (stream.destroyed) return;
    stream.write(piece);
    if (pieces.length > 1) await turn();
  }
  if (ending === "end") stream.end();
  if (ending === "reset") {
    if ("resetAndDestroy" in stream) (stream.resetAndDestroy as () => void)();
    else stream.destroy(new Error("reset"));
  }
}

const line = (maxLength: number, ...known: string[]) => fc.oneof(fc.constantFrom(...known), fc.string({ maxLength }));
const status = line(
  12,
  "200 OK",
  "200 OK",
  "204 No",
  "304 No",
  "100 Continue",
  "103 Early",
  "101 Switching",
  "302 Found",
  "401 No",
  "099 x",
  "999 x",
  "1000 x",
  "200",
);
const name = line(
  6,
  "content-length",
  "Content-Length",
  "transfer-encoding",
  "connection",
  "upgrade",
  "keep-alive",
  "trailer",
  "set-cookie",
  "content-encoding",
  "location",
  "date",
  "x-a",
  "",
  "x ",
);
const value = line(
  10,
  "0",
  "5",
  "5, 5",
  "+5",
  "65536",
  "99999999999999999999",
  "chunked",
  "gzip, chunked",
  "close",
  "keep-alive",
  "upgrade",
  "websocket",
  "content-length",
  "timeout=0",
  "timeout=1",
  "gzip",
  "br, gzip",
  "a=b; domain=localhost",
  "/next",
  "http://[",
  "\x00",
  "\xff\xfe",
  "y".repeat(70_000),
);
const bodyText = line(
  20,
  "",
  "hello",
  "5\r\nhello\r\n0\r\n\r\n",
  "5\r\nhello\r\n0\r\nx-t: y\r\ncontent-length: 9\r\n\r\n",
  "ffffffffffffffffff\r\n",
  "5;x=y\r\nhello\r\n",
  "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo",
);
const eol = fc.constantFrom("\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ");
const answer = fc
  .tuple(
    fc.constantFrom("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1", ""),
    status,
    fc.array(fc.tuple(name, value, eol), { maxLength: 5 }),
    bodyText,
  )
  .map(
    ([version, code, headers, text]) =>
      `${version} ${code}\r\n${headers.map(([key, word, end]) => `${key}: ${word}${end}`).join("")}\r\n${text}`,
  );

/** Inputs for `peerScript`. */
export const peerInputs: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.uint8Array({ minLength: controlBytes - 1, maxLength: controlBytes - 1 }),
    fc.oneof(fc.constantFrom(0, 0, 15, 16, 17, 32), fc.nat({ max: 63 })),
    fc.array(answer, { minLength: 1, maxLength: 3 }).map((texts) => Buffer.from(texts.join(""), "latin1")),
  )
  .map(([control, fill, text]) => Buffer.concat([control, Buffer.from([fill]), text]));
