/** HTTP from inside the sandbox, as the client's `fetch` (wire contract 4.5, T24). */
import { rpcMethods as contract, type RpcParams, type RpcResult } from "@caisson/api";
import { Readable } from "node:stream";
import { CaissonError } from "@caisson/protocol";
import { fetch, type RequestInit, type Response } from "undici";
import { memoryPatience, method, type Call, type Methods } from "../call.ts";
import { abortError, OperationFailure, typeError } from "../errors.ts";
import { httpThrough } from "../in-sandbox-connector.ts";
import { outboundBytes } from "../streams/outbound.ts";
import { asDeadProcess } from "./processes.ts";

/** Milliseconds for a process to listen, when the client did not wait for it. */
const listenTimeout = 30_000;
/** Memory of a fetch: an outgoing stream, TLS, and the decoder of its body. Bytes. */
const fetchBytes = outboundBytes + 512 * 1024;
const nullBodyStatuses = new Set([101, 103, 204, 205, 304]);

export const fetchMethods: Methods = {
  fetch: method(contract.fetch, async (params, call) => {
    const body = params.bodyStreamId === undefined ? undefined : call.connection.inbound.claim(params.bodyStreamId);
    try {
      return await run(params, body, call);
    } catch (error) {
      body?.destroy();
      throw error;
    }
  }),
};

async function run(params: RpcParams<"fetch">, body: Readable | undefined, call: Call): Promise<RpcResult<"fetch">> {
  const { sandbox, signal, connection, memory, replied } = call;
  const url = parseUrl(params.url);
  const port = params.pid === undefined ? undefined : await listeningPort(params.pid, call);
  // The process serves plain HTTP, also for an https URL. The host stays in the request, for virtual hosts.
  if (port !== undefined) url.protocol = "http:";
  const hold = await memory.streams.take(fetchBytes, { signal, deadline: memoryPatience });
  const http = httpThrough({ sandbox, extraCa: call.extraCa, signal, port });
  try {
    const init: RequestInit = {
      method: params.method,
      headers: params.headers,
      redirect: params.redirect,
      dispatcher: http,
      signal,
      ...(body === undefined ? {} : { body, duplex: "half" }),
    };
    const response = await fetch(url, init);
    const head = {
      status: response.status,
      statusText: response.statusText,
      headers: headersOf(response, params.method),
    };
    if (response.body === null || nullBodyStatuses.has(response.status)) {
      await response.body?.cancel();
      await http.destroy();
      hold.release();
      return { ...head, bodyStreamId: null };
    }
    const source = Readable.fromWeb(response.body);
    const ended = new Promise<void>((resolve) => source.once("close", resolve));
    const bodyStreamId = connection.outbound.open(source, { hold, gate: replied });
    const onAbort = () => connection.outbound.fail(bodyStreamId, abortError);
    signal.addEventListener("abort", onAbort, { once: true });
    void ended.then(() => {
      signal.removeEventListener("abort", onAbort);
      return http.destroy();
    });
    call.extendAbort(ended);
    return { ...head, bodyStreamId };
  } catch (error) {
    void http.destroy();
    hold.release();
    throw error instanceof OperationFailure ? error : typeError(failureText(url, error));
  }
}

function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw typeError(`Invalid URL: '${text.slice(0, 1000)}'`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw typeError(`Url scheme '${url.protocol.slice(0, -1)}' not supported`);
  return url;
}

async function listeningPort(pid: number, { agent, signal }: Call): Promise<number> {
  const { port } = await agent.processes
    .waitListening({ pid }, { signal, timeoutMs: listenTimeout })
    .catch(asDeadProcess);
  if (port === 0) throw typeError("The process ended before it served HTTP", "ENOENT");
  return port;
}

/** Content-Encodings that undici decodes. The length in the header is then wrong. */
const decoded = new Set(["gzip", "x-gzip", "deflate", "br", "zstd"]);

function headersOf(response: Response, method: string): [string, string][] {
  const encoding = response.headers.get("content-encoding")?.toLowerCase().split(",") ?? [];
  const changed =
    method.toUpperCase() !== "HEAD" && response.body !== null && encoding.some((name) => decoded.has(name.trim()));
  return [...response.headers].filter(
    ([name]) => !changed || (name !== "content-encoding" && name !== "content-length"),
  );
}

/** Deno's text, with the innermost reason. The query is left out: it may contain secrets. */
function failureText(url: URL, error: unknown): string {
  let reason: unknown = error;
  while (reason instanceof Error && reason.cause !== undefined && !(reason instanceof CaissonError))
    reason = reason.cause;
  const text = reason instanceof Error ? reason.message : String(reason);
  return `error sending request for url (${url.origin}${url.pathname}): ${text}`;
}
