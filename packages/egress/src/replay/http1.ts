/** Sends one request over HTTP/1.1. */
import type { Dispatcher } from "undici";
import type { HeaderList } from "../secrets/substitute.ts";
import type { Connections } from "./connections.ts";
import { headDeadline } from "./head-deadline.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "./upstream.ts";

export function callHttp1(connections: Connections, request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
  let controller: Dispatcher.DispatchController | undefined;
  let paused = false;
  let over = false;
  const connection = connections.take();
  const deadline = headDeadline(connections.patience, (failure) => {
    abort(failure);
    handler.fail(failure);
  });
  const finish = (tell: () => void): void => {
    if (over) return;
    over = true;
    deadline.end();
    tell();
  };
  const abort = (reason: Error): void =>
    finish(() => {
      controller?.abort(reason);
      connections.end(connection, reason);
    });
  const requestHandler: Dispatcher.DispatchHandler & { onRequestSent(): void } = {
    onRequestStart(started) {
      controller = started;
      if (paused) started.pause();
    },
    onRequestSent: () => deadline.begin(),
    onResponseStart(_, status, headers) {
      // 1xx are between the upstream and us.
      if (status < 200) return;
      deadline.end();
      handler.head(status, rawHeaders(controller, "rawHeaders", headers), false);
    },
    onResponseData: (_, chunk) => handler.data(chunk),
    onResponseEnd: (_, trailers) => finish(() => handler.end(rawHeaders(controller, "rawTrailers", trailers))),
    onRequestUpgrade: (_, __, headers, socket) =>
      finish(() => handler.upgraded?.(socket, rawHeaders(controller, "rawHeaders", headers))),
    onResponseError: (_, error) => finish(() => handler.fail(error)),
  };
  connection.client.dispatch(
    {
      path: request.target,
      method: request.method,
      headers: ["host", request.authority, ...request.headers.flat()],
      body: request.body ?? null,
      ...(request.upgrade !== undefined && { upgrade: request.upgrade }),
    },
    requestHandler,
  );
  return {
    pause: () => {
      paused = true;
      controller?.pause();
    },
    resume: () => {
      paused = false;
      controller?.resume();
    },
    abort,
  };
}

/** The bytes as they came: decoded as UTF-8, as undici does for its own users, they could not be sent on unchanged. */
function rawHeaders(
  controller: unknown,
  key: "rawHeaders" | "rawTrailers",
  parsed: Record<string, string | string[] | undefined>,
): HeaderList {
  const raw = (controller as Record<string, unknown> | undefined)?.[key];
  if (Array.isArray(raw)) {
    const pairs: [string, string][] = [];
    for (let index = 0; index + 1 < raw.length; index += 2)
      pairs.push([latin1(raw[index]).toLowerCase(), latin1(raw[index + 1])]);
    return pairs;
  }
  return Object.entries(parsed).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one): [string, string] => [name, one]),
  );
}

const latin1 = (value: Buffer | string): string => (typeof value === "string" ? value : value.toString("latin1"));
