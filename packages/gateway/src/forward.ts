/**
 * One request into a sandbox and its answer back. Each has a connection of its own: surplus bytes of a program inside can never
 * become the answer to another visitor.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { headerList, type HeaderList } from "@caisson/http1";
import { CaissonError, type HttpRoute } from "@caisson/protocol";
import { Client, errors, type Dispatcher } from "undici";
import { refuse, type Refusal } from "./answer.ts";
import { requestHeaders, responseHeaders } from "./headers.ts";
import { limits } from "./limits.ts";
import type { Address } from "./route.ts";

export interface Forwarding {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Address of the client. */
  readonly visitor: string;
  readonly address: Address;
  readonly route: HttpRoute;
  /** Called instead of an answer when the program inside accepts the WebSocket. Both connections belong to the callee then. */
  readonly upgraded?: (inside: Duplex, headers: HeaderList) => void;
}

export function forward({ request, response, visitor, address, route, upgraded }: Forwarding): void {
  const { host, authority } = address;
  const disconnected = new AbortController();
  const client = new Client("http://route.invalid", {
    connect: (_, callback) => {
      const signal = AbortSignal.any([
        disconnected.signal,
        route.ended,
        AbortSignal.timeout(route.connectTimeout ?? limits.connect),
      ]);
      route.connect(signal).then(
        (stream) => callback(null, asSocket(stream)),
        (error: unknown) => callback(error as Error, null),
      );
    },
    pipelining: 0,
    headersTimeout: limits.silence,
    bodyTimeout: limits.silence,
    maxHeaderSize: limits.headerBytes,
  });
  let controller: Dispatcher.DispatchController | undefined;
  let over = false;
  /** Bytes of the answer that are still to come, if it has a Content-Length. */
  let remaining: number | undefined;
  const end = (reason: Error | null) => {
    if (over) return;
    over = true;
    disconnected.abort();
    route.ended.removeEventListener("abort", onEnded);
    client.destroy(reason).catch(() => undefined);
  };
  const fail = (error: Error) => {
    refuse(response, whyNot(error));
    end(error);
  };
  const whole = () => {
    if (over) return;
    response.end();
    end(null);
  };
  const onEnded = () => fail(new CaissonError("gone", "The sandbox has ended."));
  route.ended.addEventListener("abort", onEnded, { once: true });
  response.on("drain", () => controller?.resume());
  response.once("close", () => {
    if (!over) end(new Error("The visitor has disconnected."));
  });
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart(started) {
      controller = started;
    },
    onResponseStart(_, status) {
      // 1xx are between the program and us.
      if (status < 200 || over) return;
      const headers = responseHeaders(rawOf(controller), status, host);
      if (headers.length > limits.headerFields) return fail(new errors.HeadersOverflowError());
      const length = headers.find(([name]) => name === "content-length")?.[1];
      if (length !== undefined && request.method !== "HEAD") remaining = Number(length);
      try {
        response.writeHead(status, headers.flat());
      } catch (error) {
        fail(error as Error);
      }
    },
    onResponseData(_, chunk) {
      if (over) return;
      if (remaining !== undefined) remaining -= chunk.length;
      if (!response.write(chunk)) controller?.pause();
    },
    onResponseEnd: whole,
    onRequestUpgrade(_, __, ___, socket) {
      const headers = responseHeaders(rawOf(controller), 101, host);
      // Not `end`: the connection belongs to the callee now, and the client no longer uses it.
      over = true;
      route.ended.removeEventListener("abort", onEnded);
      if (upgraded === undefined) socket.destroy();
      else upgraded(socket, headers);
    },
    onResponseError(_, error) {
      if (over) return;
      // The whole answer came, then the connection ended while the visitor did not read. undici 8 reports that as an early end.
      if (remaining === 0) whole();
      else fail(error);
    },
  };
  try {
    const headers = requestHeaders(headerList(request.rawHeaders), {
      address: visitor,
      authority,
    });
    client.dispatch(
      {
        path: request.url ?? "/",
        method: request.method ?? "GET",
        headers: headers.flat(),
        body: hasBody(request) ? request : null,
        ...(upgraded !== undefined && { upgrade: "websocket" }),
      },
      handler,
    );
  } catch (error) {
    fail(error as Error);
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** The bytes as they came: decoded as UTF-8, as undici does for its own users, they could not be sent on unchanged. */
function rawOf(controller: unknown): HeaderList {
  return headerList((controller as { rawHeaders?: Buffer[] | null } | undefined)?.rawHeaders ?? []);
}

function whyNot(error: Error): Refusal {
  if (error instanceof CaissonError) {
    if (error.code === "gone") return { status: 410, rule: "sandbox-ended", message: error.message };
    if (error.code === "timeout")
      return {
        status: 504,
        rule: "no-answer",
        message: "The program in the sandbox did not accept the connection in time.",
      };
    if (error.code === "resource_exhausted") return { status: 503, rule: "busy", message: error.message };
    return { status: 502, rule: "not-listening", message: error.message };
  }
  if (error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError)
    return { status: 504, rule: "no-answer", message: "The program in the sandbox did not answer in time." };
  return {
    status: 502,
    rule: "bad-answer",
    message: "The program in the sandbox did not send a valid HTTP/1.1 answer.",
  };
}

/** undici wants a socket; any Duplex with its few extra methods does. */
function asSocket(stream: Duplex): never {
  const same = () => stream;
  for (const name of ["ref", "unref", "setNoDelay", "setKeepAlive", "setTimeout"]) {
    if (!(name in stream)) Object.defineProperty(stream, name, { value: same });
  }
  return stream as never;
}
