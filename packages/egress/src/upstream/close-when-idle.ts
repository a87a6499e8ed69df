/**
 * Sessions of HTTP/2 that end after a while without streams. Not by their own `setTimeout`: Node 24 leaves that timer running when
 * the session is destroyed, and for all its time the timer holds the session and the connection under it. A guest that opens and
 * breaks sessions as fast as it can would fill the worker's memory with them.
 */
import type { Http2Session, Http2Stream } from "node:http2";

/**
 * @param patience milliseconds without a stream, after which the session is closed
 * @returns a function to call with every stream of the session; it returns the stream
 */
export function closeWhenIdle(session: Http2Session, patience: number): <S extends Http2Stream>(stream: S) => S {
  let open = 0;
  const timer = setTimeout(() => open === 0 && session.close(), patience).unref();
  session.once("close", () => clearTimeout(timer));
  return (stream) => {
    open++;
    stream.once("close", () => {
      open--;
      // Refreshing a timer that was cleared would start it again.
      if (!session.destroyed) timer.refresh();
    });
    return stream;
  };
}
