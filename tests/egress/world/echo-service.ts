/** What the played hosts answer: they hand a key that they were sent back in every spelling and place that a test asks for. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { WebSocketServer } from "ws";
import { spellings } from "./spellings.ts";
import type { Seen } from "./seen.ts";

export interface Answer {
  readonly status: number;
  readonly reason?: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly chunks: readonly Buffer[];
  /** Pause after each chunk, milliseconds. */
  readonly pace?: number;
  readonly trailers?: Record<string, string>;
  readonly hints?: Record<string, string>;
}

const codings: Record<string, (data: Buffer) => Buffer> = {
  gzip: (data) => gzipSync(data),
  deflate: (data) => deflateSync(data),
  br: (data) => brotliCompressSync(data),
  zstd: (data) => zstdCompressSync(data),
};

/** Keys that were left here, by name; they outlive connections. */
const stored = new Map<string, string>();

/** A kept key for those who ask without HTTP: `stored NAME`. */
export function storedFor(question: string): string | undefined {
  return stored.get(/stored (\S+)/.exec(question)?.[1] ?? "");
}

/** The key that a request carries, without what is around it. */
function keyIn(seen: Seen): string {
  const { authorization = "", "x-api-key": plain } = seen.headers;
  if (typeof plain === "string") return plain;
  const basic = /^basic (.+)$/i.exec(authorization)?.[1];
  if (basic !== undefined)
    return Buffer.from(basic, "base64")
      .toString()
      .replace(/^[^:]*:/, "");
  return authorization.replace(/^bearer /i, "");
}

/**
 * `/echo?as=SPELLING&in=PLACE&coding=NAME&split=BYTES&pace=MS&status=N`: the key, spelled so, put there.
 * `/store?name=N` keeps the key, and `/stored?name=N&...` is `/echo` with a kept one. Everything else: who was reached.
 */
export function answer(name: string, seen: Seen): Answer {
  const url = URL.parse(seen.target, "https://host") ?? new URL("https://host/");
  const question = (key: string): string | undefined => url.searchParams.get(key) ?? undefined;
  if (url.pathname === "/redirect") return plain(302, [["location", question("to") ?? "/"]], "");
  if (url.pathname === "/store") {
    stored.set(question("name") ?? "", keyIn(seen));
    return plain(200, [], `reached ${name}, stored\n`);
  }
  if (url.pathname !== "/echo" && url.pathname !== "/stored") return plain(200, [], `reached ${name}\n`);
  const key = url.pathname === "/stored" ? (stored.get(question("name") ?? "") ?? "") : keyIn(seen);
  const spell = spellings[question("as") ?? "plain"];
  if (spell === undefined) return plain(400, [], "no such spelling\n");
  return place(question("in") ?? "body", spell(key), seen, question);
}

function plain(status: number, headers: readonly (readonly [string, string])[], body: string): Answer {
  return {
    status,
    headers: [...headers, ["content-type", "text/plain"], ["content-length", String(Buffer.byteLength(body))]],
    chunks: [Buffer.from(body)],
  };
}

function place(where: string, text: string, seen: Seen, question: (key: string) => string | undefined): Answer {
  switch (where) {
    case "header":
      return plain(200, [["x-echo", text]], "see the header\n");
    case "cookie":
      return plain(200, [["set-cookie", `session=${text}; path=/`]], "see the cookie\n");
    case "location":
      return plain(302, [["location", `/next?key=${text}`]], "");
    case "authenticate":
      return plain(401, [["www-authenticate", `Bearer realm="${text}"`]], "");
    case "reason":
      return { ...plain(200, [], "see the reason\n"), reason: text };
    case "hints":
      return { ...plain(200, [], "see the hints\n"), hints: { link: `</${text}>; rel=preload` } };
    case "trailer":
      return {
        status: 200,
        headers: [
          ["trailer", "x-echo"],
          ["content-type", "text/plain"],
        ],
        chunks: [Buffer.from("see the trailer\n")],
        trailers: { "x-echo": text },
      };
    default:
      return inBody(text, seen, question);
  }
}

function inBody(text: string, seen: Seen, question: (key: string) => string | undefined): Answer {
  let body: Buffer = Buffer.from(`before ${text} after\n`);
  const status = Number(question("status") ?? 200);
  const headers: [string, string][] = [["content-type", question("type") ?? "text/plain"]];
  const coding = question("coding");
  for (const name of coding?.split(",") ?? []) body = codings[name]?.(body) ?? body;
  if (coding !== undefined) headers.push(["content-encoding", coding.replaceAll(",", ", ")]);
  const range = /^bytes=(\d+)-(\d+)$/.exec(seen.headers.range ?? "");
  if (range !== null) {
    const [from, to] = [Number(range[1]), Number(range[2])];
    headers.push(["content-range", `bytes ${from}-${to}/${body.length}`]);
    const part = body.subarray(from, to + 1);
    return { status: 206, headers: [...headers, ["content-length", String(part.length)]], chunks: [part] };
  }
  const size = Number(question("split") ?? 0);
  if (size === 0) return { status, headers: [...headers, ["content-length", String(body.length)]], chunks: [body] };
  const chunks: Buffer[] = [];
  for (let index = 0; index < body.length; index += size) chunks.push(body.subarray(index, index + size));
  return { status, headers, chunks, pace: Number(question("pace") ?? 0) };
}

const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: true });

/** After the handshake: sends the key as the query's `in` says, and echoes what it gets. */
export function answerWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  seen: Seen,
  hear: (data: Buffer) => void,
): void {
  socket.on("error", () => undefined);
  webSockets.handleUpgrade(request, socket, head, (webSocket) => {
    const where = URL.parse(seen.target, "https://host")?.searchParams.get("in") ?? "text";
    const key = keyIn(seen);
    webSocket.on("error", () => undefined);
    webSocket.on("ping", hear);
    webSocket.on("message", (data, binary) => {
      hear(data as Buffer);
      webSocket.send(data as Buffer, { binary });
    });
    if (where === "text") webSocket.send(`you sent ${key}`);
    else if (where === "binary") webSocket.send(Buffer.from(`you sent ${key}`));
    else if (where === "ping") webSocket.ping(key);
    else if (where === "fragments")
      for (let index = 0; index < key.length; index += 3)
        webSocket.send(key.slice(index, index + 3), { fin: index + 3 >= key.length });
    if (where === "close") webSocket.close(1000, key.slice(0, 120));
    else setTimeout(() => webSocket.close(), 1_000).unref();
  });
}
