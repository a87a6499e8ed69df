/** Answers requests from the files of a static site: ETag, ranges, compression. It needs no machine. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { duplexPair, type Duplex, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createBrotliCompress, createGzip } from "node:zlib";
import type { NodeFiles } from "@caisson/protocol";
import { lookup } from "mrmime";
import type { Logger } from "pino";
import type { Site, SiteFile } from "./site.ts";

/** Smaller files are not worth it; larger ones would take a core for seconds. Bytes. */
const compressible = { least: 1024, most: 8 * 2 ** 20 };
const textual = /^(text\/|application\/(javascript|json|xml|wasm|manifest\+json|ld\+json|xhtml\+xml)|image\/svg\+xml)/;

/** @returns a function that makes connections to the site, as if a program listened */
export function siteConnections(site: Site, files: Pick<NodeFiles, "read">, log?: Logger): () => Duplex {
  const server = createServer((request, response) => {
    answer(request, response, site, files).catch((error: unknown) => {
      // Otherwise the visitor has disconnected.
      if (!response.destroyed) log?.warn({ err: error }, "a file of a static site could not be sent");
      if (!response.headersSent) response.writeHead(500).end("The file could not be read.\n");
      else response.destroy();
    });
  });
  return () => {
    const [ours, theirs] = duplexPair();
    // Otherwise a visitor who disconnects leaves the file open.
    ours.once("close", () => theirs.destroy());
    server.emit("connection", theirs);
    return ours;
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  site: Site,
  files: Pick<NodeFiles, "read">,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD" }).end("Only GET and HEAD.\n");
    return;
  }
  const [path = "/", query] = (request.url ?? "/").split("?", 2);
  const found = site.find(path);
  if (found.kind === "none") {
    response.writeHead(404, { "content-type": "text/plain; charset=utf-8" }).end("Not found.\n");
    return;
  }
  if (found.kind === "redirect") {
    response.writeHead(308, { location: query === undefined ? found.to : `${found.to}?${query}` }).end();
    return;
  }
  await send(request, response, found.file, found.status, files);
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  file: SiteFile,
  status: 200 | 404,
  files: Pick<NodeFiles, "read">,
): Promise<void> {
  const type = lookup(file.path) ?? "application/octet-stream";
  const encodable = textual.test(type) && file.bytes >= compressible.least && file.bytes <= compressible.most;
  const range = status === 200 ? readRange(request, file) : undefined;
  const encoding = encodable && range === undefined ? encodingOf(request.headers["accept-encoding"]) : undefined;
  const etag = etagOf(file, encoding);
  response.setHeader("etag", etag);
  response.setHeader("cache-control", "public, max-age=0, must-revalidate");
  response.setHeader("content-type", type.startsWith("text/") ? `${type}; charset=utf-8` : type);
  if (encodable) response.setHeader("vary", "accept-encoding");
  if (!encodable && status === 200) response.setHeader("accept-ranges", "bytes");
  if (status === 200 && matches(request.headers["if-none-match"], file)) {
    response.writeHead(304).end();
    return;
  }
  if (range === "unsatisfiable") {
    response.writeHead(416, { "content-range": `bytes */${file.bytes}` }).end();
    return;
  }
  const length = range === undefined ? file.bytes : range.last - range.first + 1;
  if (encoding === undefined) response.setHeader("content-length", length);
  else response.setHeader("content-encoding", encoding);
  if (range === undefined) response.writeHead(status);
  else response.writeHead(206, { "content-range": `bytes ${range.first}-${range.last}/${file.bytes}` });
  if (request.method === "HEAD" || length === 0) {
    response.end();
    return;
  }
  const content = await files.read(file.digest, range);
  if (encoding === undefined) await pipeline(content, response);
  else await pipeline(content, compressor(encoding), response);
}

type Encoding = "br" | "gzip";

function compressor(encoding: Encoding): Transform {
  // Higher qualities take many times longer for a few percent.
  if (encoding === "br") return createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });
  return createGzip({ level: 6 });
}

/** RFC 9110, 12.5.3; `q=0` refuses. */
function encodingOf(accepted: string | undefined): Encoding | undefined {
  const wanted = new Set(
    (accepted ?? "")
      .toLowerCase()
      .split(",")
      .filter((part) => !/;\s*q=0(\.0*)?\s*$/.test(part))
      .map((part) => part.split(";")[0]!.trim()),
  );
  return wanted.has("br") ? "br" : wanted.has("gzip") ? "gzip" : undefined;
}

function etagOf({ digest }: SiteFile, encoding: Encoding | undefined): string {
  return `"${digest.slice(0, 32)}${encoding === undefined ? "" : `-${encoding}`}"`;
}

function matches(header: string | undefined, file: SiteFile): boolean {
  if (header === undefined) return false;
  if (header.trim() === "*") return true;
  const ours = new Set(([undefined, "br", "gzip"] as const).map((encoding) => etagOf(file, encoding)));
  return header.split(",").some((tag) => ours.has(tag.trim().replace(/^W\//, "")));
}

/** One range of bytes. Anything else is answered with the whole file, as RFC 9110 allows. */
function readRange(
  { headers }: IncomingMessage,
  file: SiteFile,
): { first: number; last: number } | "unsatisfiable" | undefined {
  const [, from, to] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(headers.range ?? "") ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return undefined;
  const condition = headers["if-range"];
  if (condition !== undefined && condition !== etagOf(file, undefined)) return undefined;
  const first = from === "" ? Math.max(0, file.bytes - Number(to)) : Number(from);
  const last = from === "" || to === "" ? file.bytes - 1 : Math.min(Number(to), file.bytes - 1);
  if (from !== "" && to !== "" && Number(to) < Number(from)) return undefined;
  return first > last ? "unsatisfiable" : { first, last };
}
