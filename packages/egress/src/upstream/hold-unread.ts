/**
 * Keeps a stream's data while nobody reads it. Node keeps every piece as a buffer of its own, and with it all that was read along with it:
 * an upstream that sends single bytes would fill a thousand times the window in memory. Here they are copied to one place.
 */
import type { ClientHttp2Stream } from "node:http2";
import { GrowingBytes } from "../bytes/growing-bytes.ts";

export interface Held {
  /** Whether the upstream has ended the body itself, and not the stream in the middle of it. */
  readonly whole: boolean;
  pause(): void;
  resume(): void;
}

export function holdUnread(stream: ClientHttp2Stream): Held {
  let whole = false;
  let ended = false;
  let unread: GrowingBytes | undefined;
  const push = stream.push.bind(stream);
  const letGo = (): void => {
    const { bytes } = unread ?? {};
    unread = undefined;
    if (bytes !== undefined) push(bytes);
  };
  stream.push = (chunk: Buffer | null) => {
    if (chunk === null) {
      // Node marks the stream as closed before it ends one that was reset, were it without an error.
      if (!ended) whole = !stream.closed;
      ended = true;
      letGo();
      return push(null);
    }
    if (!stream.isPaused()) return push(chunk);
    unread ??= new GrowingBytes();
    unread.append(chunk);
    // Node stops giving back the window, and reads on when what is held has been pushed.
    return false;
  };
  return {
    get whole() {
      return whole;
    },
    pause: () => void stream.pause(),
    resume() {
      letGo();
      stream.resume();
    },
  };
}
