/** Protocols in which the server sends the first data. */
import type { Duplex } from "node:stream";
import { firstBytesOf, type FirstBytes } from "../sniff/first-bytes-of.ts";
import { forward, halfClosed } from "../tunnel/relay.ts";
import { ConnectionRefused, type GuestConnection } from "./guest-connection.ts";
import { faultOfCut, tunnel, tunnelRewriter } from "./tunnel.ts";

/**
 * Forwards the server's data, and checks the guest's first data before it is forwarded.
 * @returns the guest's first bytes, if they must be checked; undefined when a tunnel handles the connection
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
    // The server has ended its side; a guest that neither answers nor disconnects has nothing to wait for.
    carried: () => (silence = setTimeout(() => guest.destroy(), halfClosed).unref()),
  });
  const first = await firstBytesOf(guest, { patience: 2 ** 31 - 1 });
  clearTimeout(silence);
  stop();
  upstream.off("close", lost);
  // The rest goes through a tunnel if it need not be parsed; bytes that are held back for redaction stay held back.
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
