/** Relays bytes between two connections, each no faster than the other reads, until both directions have ended. */
import type { Duplex } from "node:stream";
import { Paced, tokenPatience } from "../redact/paced.ts";
import { readOn } from "../upstream/read-on.ts";
import type { Rewriter } from "../redact/rewriter.ts";

export interface RelayOptions {
  readonly guest: Duplex;
  readonly upstream: Duplex;
  /** Redacts values of secrets on their way to the guest, in place, since the protocol is unknown. Absent: no secret can come back. */
  readonly rewriter?: Rewriter | undefined;
  /** Gets the guest's data before the upstream does; an error ends the connection. */
  readonly judge?: (chunk: Buffer) => Error | undefined;
  /** Called once, when both directions are over. */
  readonly onEnd: (error?: Error) => void;
}

/** Milliseconds without a byte, after which a connection of which one direction is over is ended. */
export const halfClosed = 120_000;

export function relay({ guest, upstream, rewriter, judge, onEnd }: RelayOptions): void {
  let open = 2;
  let ended = false;
  let lingering: NodeJS.Timeout | undefined;
  const finish = (error?: Error): void => {
    if (ended) return;
    ended = true;
    // Or both connections would be held until it runs out.
    clearTimeout(lingering);
    guest.destroy();
    upstream.destroy();
    onEnd(error);
  };
  const linger = (): void => void (lingering ??= setTimeout(finish, halfClosed).unref());
  const carried = (): void => (--open === 0 ? finish() : linger());
  for (const [side, other] of [
    [guest, upstream],
    [upstream, guest],
  ] as const) {
    side.on("error", (error: Error) => {
      // What it sent before it reset the connection may still be on its way.
      if (!side.readableEnded || !other.writableEnded || other.writableFinished || other.destroyed)
        return finish(error);
      linger();
      other.once("finish", () => finish(error));
    });
    side.on("close", () => {
      // The data that it sent before it ended may still be on its way.
      if (!side.readableEnded || other.writableFinished || other.destroyed) return finish();
      linger();
      other.once("finish", () => finish());
    });
  }
  readOn(upstream);
  // It may have left while the other was dialled.
  if (guest.destroyed || upstream.destroyed) return finish();
  const moved = (): void => void lingering?.refresh();
  const judged = (chunk: Buffer): boolean => {
    const error = judge?.(chunk);
    if (error !== undefined) finish(error);
    return error === undefined;
  };
  forward(guest, upstream, { moved, carried, judged });
  forward(upstream, guest, { moved, carried, rewriter });
}

export interface Forwarding {
  readonly moved: () => void;
  /** Called when the end has been handed on. */
  readonly carried: () => void;
  readonly rewriter?: Rewriter | undefined;
  /** Whether a piece may go on. */
  readonly judged?: (chunk: Buffer) => boolean;
}

/** @returns leaves both connections as they are, for somebody else to go on with the same rewriter */
export function forward(from: Duplex, to: Duplex, { moved, carried, rewriter, judged }: Forwarding): () => void {
  const give = (pieces: readonly Buffer[]): void => {
    if (!to.writable) return;
    let flows = true;
    for (const piece of pieces) flows = to.write(piece) && flows;
    if (flows) return;
    from.pause();
    searched?.pause();
  };
  const searched = rewriter && new Paced(rewriter, tokenPatience, give, (error) => from.destroy(error));
  const take = (chunk: Buffer): void => {
    if (!to.writable || judged?.(chunk) === false) return;
    moved();
    if (searched === undefined) give([chunk]);
    else searched.push(chunk);
  };
  const drained = (): void => {
    moved();
    from.resume();
    searched?.resume();
  };
  const end = (): void => {
    searched?.stop();
    if (to.destroyed || to.writableFinished) return carried();
    // Ended by whoever forwarded before; what it gave may still be on its way.
    if (to.writableEnded) return void to.once("finish", carried);
    searched?.end();
    to.end(carried);
  };
  const stop = (): void => {
    searched?.stop();
    from.off("data", take).off("end", end).off("close", stop);
    to.off("drain", drained);
  };
  from.on("data", take).once("end", end).once("close", stop);
  to.on("drain", drained);
  if (from.readableEnded) end();
  else from.resume();
  searched?.resume();
  return stop;
}
