/** Sends one request over HTTP/1.1. */
import type { Dispatcher } from "undici";
import type { HeaderList } from "../secrets/substitute.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "./upstream.ts";

export function callHttp1(dispatcher: Dispatcher, request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
  let controller: Dispatcher.DispatchController | undefined;
  let aborted: Error | undefined;
  let paused = false;
  dispatcher.dispatch(
    {
      path: request.target,
      method: request.method,
      headers: ["host", request.authority, ...request.headers.flat()],
      body: request.body ?? null,
      ...(request.upgrade !== undefined && { upgrade: request.upgrade }),
    },
    {
      onRequestStart(started) {
        controller = started;
        if (aborted !== undefined) started.abort(aborted);
        else if (paused) started.pause();
      },
      onResponseStart(_, status, headers) {
        // 1xx are between the upstream and us.
        if (status >= 200) handler.head(status, rawHeaders(controller, "rawHeaders", headers), false);
      },
      onResponseData: (_, chunk) => handler.data(chunk),
      onResponseEnd: (_, trailers) => handler.end(rawHeaders(controller, "rawTrailers", trailers)),
      onRequestUpgrade: (_, __, headers, socket) =>
        handler.upgraded?.(socket, rawHeaders(controller, "rawHeaders", headers)),
      onResponseError: (_, error) => handler.fail(error),
    },
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
    abort: (reason) => {
      aborted ??= reason;
      controller?.abort(reason);
    },
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
