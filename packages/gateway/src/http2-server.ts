/** HTTP/2 towards visitors. Node's own bounds are set tighter where a visitor could hold memory or cause work. */
import { constants, createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { Http2Exchange } from "./http2-exchange.ts";
import { limits } from "./limits.ts";

/**
 * It does not listen: the listener emits `connection` on it for connections that speak HTTP/2.
 * @param serve called for each request
 */
export function createHttp2(serve: (exchange: Http2Exchange) => void): Http2Server {
  const server = createServer({
    maxSettings: 16,
    maxSessionMemory: 8,
    maxHeaderListPairs: limits.headerFields,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    streamResetBurst: limits.resetBurst,
    streamResetRate: limits.resetRate,
    settings: {
      enablePush: false,
      maxConcurrentStreams: limits.streams,
      initialWindowSize: limits.streamWindow,
      maxHeaderListSize: limits.headerBytes,
    },
  });
  server.on("session", watch);
  server.on("stream", (stream, _, __, raw) => serve(new Http2Exchange(stream, raw)));
  server.on("sessionError", () => undefined);
  return server;
}

/** Ends sessions that idle, or that make us work for nothing. */
function watch(session: ServerHttp2Session): void {
  session.setLocalWindowSize(limits.connectionWindow);
  // A request head that comes slowly, in pieces, opens no stream. Bytes do not count here, so nobody can prolong it.
  const idle = (milliseconds: number) => {
    const timer = setTimeout(() => {
      session.close();
      setTimeout(() => session.destroy(), limits.linger).unref();
    }, milliseconds);
    return timer.unref();
  };
  let open = 0;
  let waiting: NodeJS.Timeout | undefined = idle(limits.headers);
  session.on("stream", (stream) => {
    open++;
    clearTimeout(waiting);
    stream.once("close", () => {
      if (--open === 0 && !session.destroyed) waiting = idle(limits.keepAlive);
    });
  });
  session.once("close", () => clearTimeout(waiting));
  session.setTimeout(limits.silence, () => session.destroy());
  let [frames, since] = [0, performance.now()];
  const count = () => {
    if (performance.now() - since > 10_000) [frames, since] = [0, performance.now()];
    if (++frames > limits.idleFrames) session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  };
  session.on("ping", count);
  session.on("remoteSettings", count);
  session.on("error", () => undefined);
}
