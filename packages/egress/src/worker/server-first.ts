/** Protocols in which the server begins. */
import type { Duplex } from "node:stream";
import { firstBytesOf, type FirstBytes } from "../sniff/first-bytes-of.ts";
import { Refused, tunnel, type Connection } from "./granted.ts";

/** Milliseconds of silence after which the first letters of what may become a secret are let go. */
const idleAfter = 25;

/**
 * Lets the server speak, and looks at what the guest then says before it goes on.
 * @returns what the guest said when it has to be judged; undefined when the connection is taken care of
 * @throws Refused
 */
export async function listenFirst(
  connection: Connection,
  guest: Duplex,
  upstream: Duplex,
): Promise<FirstBytes | undefined> {
  let spoke = false;
  const { redactor } = connection.sandbox;
  const rewriter = redactor.stream({ keepLength: true });
  const pass = (chunk: Buffer): void => {
    spoke = true;
    for (const piece of redactor.active ? rewriter.push(chunk) : [chunk]) if (!guest.write(piece)) upstream.pause();
    if (redactor.active) setTimeout(() => rewriter.idle().forEach((piece) => guest.write(piece)), idleAfter);
  };
  const resume = (): void => void upstream.resume();
  const lost = (): void => void guest.destroy();
  upstream.on("data", pass).once("close", lost).on("error", lost);
  guest.on("drain", resume);
  const first = await firstBytesOf(guest, { patience: 2 ** 31 - 1 });
  upstream.off("data", pass).off("close", lost);
  guest.off("drain", resume);
  for (const piece of rewriter.end()) guest.write(piece);
  if (first.kind === "other" || (spoke && !connection.reads && first.kind !== "ended")) {
    tunnel(connection, guest, upstream);
    return undefined;
  }
  upstream.destroy();
  if (spoke && first.kind !== "ended")
    throw new Refused("unclear-protocol", "HTTP or TLS began after the server had spoken.");
  return first;
}
