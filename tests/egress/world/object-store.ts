/** An S3 that checks every signature (SigV4) and every checksum of a body, and keeps objects in memory. */
import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import type { Identity } from "./authority.ts";
import { ranged } from "./ranged.ts";

export interface ObjectStore {
  readonly address: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** By path. */
  readonly objects: ReadonlyMap<string, Buffer>;
  /** What was asked and answered: method, path, status and, with a range, the range. */
  readonly log: readonly string[];
  close(): void;
}

const sha256 = (data: Buffer | string): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: Buffer | string, text: string): Buffer => createHmac("sha256", key).update(text).digest();
const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

/** The signature that the request should have, by the fields that it says are signed. */
function signatureOf(request: IncomingMessage, url: URL, secretKey: string, authorization: string): string {
  const [, scope = ""] = /Credential=[^/]+\/([^,]+)/.exec(authorization) ?? [];
  const [, signed = ""] = /SignedHeaders=([^,]+)/.exec(authorization) ?? [];
  const headers = signed.split(";").map((name) => `${name}:${String(request.headers[name] ?? "").trim()}\n`);
  const query = [...url.searchParams].map(([name, value]) => `${encode(name)}=${encode(value)}`).toSorted();
  const canonical = [
    request.method,
    url.pathname,
    query.join("&"),
    headers.join(""),
    signed,
    request.headers["x-amz-content-sha256"],
  ].join("\n");
  const text = ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, sha256(canonical)].join("\n");
  const key = scope.split("/").reduce<Buffer | string>(hmac, `AWS4${secretKey}`);
  return hmac(key, text).toString("hex");
}

/** The content of a body that comes in signed chunks, with its checksum behind it. */
function unchunk(body: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; ;) {
    const end = body.indexOf("\r\n", at);
    const size = Number.parseInt(body.toString("latin1", at, end), 16);
    if (!(size > 0)) return Buffer.concat(pieces);
    pieces.push(body.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}

export async function startObjectStore(identity: Identity): Promise<ObjectStore> {
  const [accessKey, secretKey] = ["AKIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"];
  const objects = new Map<string, Buffer>();
  const parts = new Map<string, Buffer>();
  const log: string[] = [];

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "https://store");
    const path = url.pathname;
    const answer = (status: number, body: Buffer | string = "", headers: Record<string, string> = {}): void => {
      log.push([request.method, request.url, status, request.headers.range].filter(Boolean).join(" "));
      const length = String(Buffer.byteLength(body));
      response.writeHead(status, { ...headers, "content-length": length }).end(request.method === "HEAD" ? "" : body);
    };
    const error = (status: number, code: string): void =>
      answer(status, `<Error><Code>${code}</Code><Message>${code}</Message></Error>`);
    const sent = await buffer(request);
    const { authorization = "", "x-amz-content-sha256": content } = request.headers;
    const signature = /Signature=([0-9a-f]+)/.exec(authorization)?.[1];
    if (signature !== signatureOf(request, url, secretKey, authorization)) return error(403, "SignatureDoesNotMatch");
    if (/^[0-9a-f]{64}$/.test(String(content)) && content !== sha256(sent))
      return error(400, "XAmzContentSHA256Mismatch");
    const chunked = (request.headers["content-encoding"] ?? "").includes("aws-chunked");
    const body = chunked ? unchunk(sent) : sent;
    if (chunked && String(body.length) !== request.headers["x-amz-decoded-content-length"])
      return error(400, "IncompleteBody");
    const md5 = createHash("md5").update(body).digest("hex");
    const upload = url.searchParams.get("uploadId");
    if (request.method === "POST" && url.searchParams.has("uploads"))
      return answer(200, `<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>`);
    if (request.method === "PUT" && upload !== null)
      parts.set(`${path} ${url.searchParams.get("partNumber")?.padStart(5, "0")}`, body);
    else if (request.method === "PUT") objects.set(path, body);
    if (request.method === "PUT") return answer(200, "", { etag: `"${md5}"` });
    if (request.method === "POST" && upload !== null) {
      const own = [...parts].filter(([name]) => name.startsWith(`${path} `)).toSorted(([a], [b]) => (a < b ? -1 : 1));
      objects.set(path, Buffer.concat(own.map(([, part]) => part)));
      return answer(200, `<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>`);
    }
    const object = objects.get(path);
    if (object === undefined) return error(404, "NoSuchKey");
    const { status, headers, bytes } = ranged(request.headers.range, object);
    answer(status, bytes, { ...headers, etag: `"${sha256(object).slice(0, 32)}"` });
  }

  const server = createServer(identity, (request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    accessKey,
    secretKey,
    objects,
    log,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
