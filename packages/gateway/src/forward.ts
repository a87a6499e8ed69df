/**
 * One request into a sandbox and its answer back. Each has a connection of its own: bytes that a program inside sends too many
 * can never become the answer to somebody else.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { CaissonError } from "@caisson/protocol";
import { Client, errors, type Dispatcher } from "undici";
import type { Addressed, Refusal } from "./addressed.ts";
import { refuse } from "./answer.ts";
import { pairs, requestHeaders, responseHeaders, type HeaderList } from "./headers.ts";
import { limits } from "./limits.ts";

export interface Forwarding {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly to: Addressed;
  /** Called in place of an answer when the program inside takes the WebSocket; both sides are the callee's. */
  readonly upgraded?: (inside: Duplex, headers: HeaderList) => void;
}

export function forward({ request, response, to, upgraded }: Forwarding): void {
  const { preview, host } = to;
  const gone = new AbortController();
  const client = new Client("http://preview.invalid", {
    connect: (_, callback) => {
      const signal = AbortSignal.any([gone.signal, preview.ended, AbortSignal.timeout(limits.connect)]);
      preview.connect(signal).then(
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
  /** Bytes of the answer that are still to come, where it says how many. */
  let left: number | undefined;
  const end = (reason: Error | null) => {
    if (over) return;
    over = true;
    gone.abort();
    preview.ended.removeEventListener("abort", onEnded);
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
  preview.ended.addEventListener("abort", onEnded, { once: true });
  response.on("drain", () => controller?.resume());
  response.once("close", () => {
    if (!over) end(new Error("The visitor has left."));
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
      if (length !== undefined && request.method !== "HEAD") left = Number(length);
      try {
        response.writeHead(status, headers.flat());
      } catch (error) {
        fail(error as Error);
      }
    },
    onResponseData(_, chunk) {
      if (over) return;
      if (left !== undefined) left -= chunk.length;
      if (!response.write(chunk)) controller?.pause();
    },
    onResponseEnd: whole,
    onRequestUpgrade(_, __, ___, socket) {
      const headers = responseHeaders(rawOf(controller), 101, host);
      // Not ended: the connection is the callee's now, and the client has let go of it.
      over = true;
      preview.ended.removeEventListener("abort", onEnded);
      if (upgraded === undefined) socket.destroy();
      else upgraded(socket, headers);
    },
    onResponseError(_, error) {
      if (over) return;
      // All of it came, and then the end of the connection while the visitor let us wait: undici 8 takes that for an early end.
      if (left === 0) whole();
      else fail(error);
    },
  };
  try {
    const headers = requestHeaders(pairs(request.rawHeaders), {
      address: request.socket.remoteAddress ?? "unknown",
      authority: to.authority,
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
  return pairs((controller as { rawHeaders?: Buffer[] | null } | undefined)?.rawHeaders ?? []);
}

function whyNot(error: Error): Refusal {
  if (error instanceof CaissonError) {
    if (error.code === "gone") return { status: 410, rule: "sandbox-ended", message: error.message };
    if (error.code === "timeout")
      return {
        status: 504,
        rule: "no-answer",
        message: "The program in the sandbox did not take the connection in time.",
      };
    return { status: 502, rule: "not-listening", message: error.message };
  }
  if (error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError)
    return { status: 504, rule: "no-answer", message: "The program in the sandbox did not answer in time." };
  return { status: 502, rule: "bad-answer", message: "The program in the sandbox did not answer as HTTP/1.1 has it." };
}

/** undici wants a socket; any Duplex with its few extra methods does. */
function asSocket(stream: Duplex): never {
  const same = () => stream;
  for (const name of ["ref", "unref", "setNoDelay", "setKeepAlive", "setTimeout"]) {
    if (!(name in stream)) Object.defineProperty(stream, name, { value: same });
  }
  return stream as never;
}
