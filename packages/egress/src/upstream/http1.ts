/** Sends one request over HTTP/1.1. */
import type { Dispatcher } from "undici";
import { headerList, isWebSocketUpgrade, type HeaderList } from "@caisson/http1";
import type { Http1Clients } from "./http1-clients.ts";
import { UpstreamFailure } from "./failure.ts";
import { headDeadline } from "./head-deadline.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "./request.ts";

export function callHttp1(connections: Http1Clients, request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
  let controller: Dispatcher.DispatchController | undefined;
  let paused = false;
  let over = false;
  /** Before that undici may refuse the request. The connection was then not used, and does not come back by itself. */
  let dispatched = false;
  /** The answer's body has neither a length nor chunks. */
  let unbounded = false;
  const connection = connections.take();
  connection.interim?.expect();
  const deadline = headDeadline(connections.patience, (failure) => {
    abort(failure);
    handler.fail(failure);
  });
  const finish = (report: () => void): void => {
    if (over) return;
    over = true;
    deadline.end();
    report();
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
      // 1xx responses are not forwarded.
      if (status < 200) return;
      deadline.end();
      const list = rawHeaders(controller, "rawHeaders", headers);
      unbounded = !list.some(([name]) => name === "content-length" || name === "transfer-encoding");
      handler.head(status, list, false);
    },
    onResponseData: (_, chunk) => handler.data(chunk),
    onResponseEnd: (_, trailers) =>
      finish(() => {
        // Such a body ends with its connection; undici reports an end even if the connection was reset.
        const broken = unbounded ? connection.socket?.errored : undefined;
        if (broken != null) handler.fail(broken);
        else handler.end(rawHeaders(controller, "rawTrailers", trailers));
      }),
    onRequestUpgrade: (_, __, headers, socket) =>
      finish(() => {
        const list = rawHeaders(controller, "rawHeaders", headers);
        if (isWebSocketUpgrade(list)) return handler.upgraded?.(socket, list);
        socket.destroy();
        handler.fail(
          new UpstreamFailure("upstream-protocol", "The upstream switched to a protocol that was not requested"),
        );
      }),
    onResponseError: (_, error) =>
      finish(() => {
        if (!dispatched && controller === undefined) connections.end(connection, error);
        handler.fail(error);
      }),
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
  dispatched = true;
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
  if (Array.isArray(raw)) return headerList(raw as (Buffer | string)[]);
  return Object.entries(parsed).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one): [string, string] => [name, one]),
  );
}
