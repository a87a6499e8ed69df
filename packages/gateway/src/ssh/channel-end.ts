/** The end of a channel, which the library reports too late or too early for us. */
import type { ServerChannel } from "ssh2";
import { whenClosed } from "./library.ts";
import { sshLimits } from "./limits.ts";

const ends = new WeakMap<ServerChannel, AbortSignal>();

/**
 * Calls the listener when a channel is over; at once when it was over before. To be called first when the channel is new.
 *
 * The library's `close` comes only when everything that the client had sent was read. Without a reader the channel, up to 2 MiB and the
 * program behind it would stay for ever, so here what nobody has read after `sshLimits.drain` is dropped.
 */
export function whenOver(channel: ServerChannel, listener: () => void): void {
  const end = endOf(channel);
  if (end.aborted) listener();
  else end.addEventListener("abort", listener, { once: true });
}

function endOf(channel: ServerChannel): AbortSignal {
  const known = ends.get(channel);
  if (known !== undefined) return known;
  const over = new AbortController();
  ends.set(channel, over.signal);
  channel.once("close", () => over.abort());
  whenClosed(channel, () => {
    const timer = setTimeout(() => {
      over.abort();
      channel.unpipe();
      channel.resume();
    }, sshLimits.drain).unref();
    channel.once("close", () => clearTimeout(timer));
  });
  return over.signal;
}
