/** Protocols in which the server sends the first data. */
import type { Duplex } from "node:stream";
import { firstBytesOf, type FirstBytes } from "../sniff/first-bytes-of.ts";
import { forward, halfClosed } from "../tunnel/relay.ts";
import { ConnectionRefused, type GuestConnection } from "./guest-connection.ts";
import { faultOfCut, tunnel, tunnelRewriter } from "./tunnel.ts";

/**
 * Lets the server speak, and looks at what the guest then says before it goes on.
 * @returns what the guest said when it has to be judged; undefined when the connection is taken care of
 * @throws ConnectionRefused
 */
export async function listenFirst(
  connection: GuestConnection,
  guest: Duplex,
  upstream: Duplex,
): Promise<FirstBytes | undefined> {
  let spoke = false;
  let silence: NodeJS.Timeout | undefined;
  const rewriter = tunnelRewriter(connection);
  const lost = (): void => void (upstream.readableEnded || guest.destroy());
  upstream.once("close", lost).on("error", lost);
  const stop = forward(upstream, guest, {
    rewriter,
    moved: () => (spoke = true),
    // The server has said all; a guest that neither answers nor leaves has nothing to wait for.
    carried: () => (silence = setTimeout(() => guest.destroy(), halfClosed).unref()),
  });
  const first = await firstBytesOf(guest, { patience: 2 ** 31 - 1 });
  clearTimeout(silence);
  stop();
  upstream.off("close", lost);
  // Whoever only listens, or is past all judging, gets the rest; and what waits for the end of a word goes on waiting for it.
  const unread =
    first.kind === "other" || first.kind === "ended" || first.kind === "cut" || (spoke && !connection.reads);
  const fault = first.kind === "cut" ? faultOfCut(connection, first.bytes) : undefined;
  if (unread && fault === undefined) {
    if (first.kind === "cut") upstream.write(first.bytes);
    tunnel(connection, guest, upstream, rewriter);
    return undefined;
  }
  upstream.destroy();
  if (fault !== undefined) throw fault;
  if (spoke)
    throw new ConnectionRefused("unclear-protocol", "The program began HTTP or TLS after the server had sent data.");
  return first;
}
