/** Carries bytes between two connections, each no faster than the other takes them. */
import type { Duplex } from "node:stream";
import type { Redactor } from "../redact/redactor.ts";

export interface RelayOptions {
  readonly guest: Duplex;
  readonly upstream: Duplex;
  /** Values of secrets are made unreadable on their way to the guest, in place, since the protocol is unknown. */
  readonly redactor: Redactor;
  /** Called once, when both directions are over. */
  readonly onEnd: (error?: Error) => void;
}

const idleAfter = 25;
/** How long the other direction may go on after one has ended. */
const halfClosed = 120_000;

export function relay({ guest, upstream, redactor, onEnd }: RelayOptions): void {
  let open = 2;
  let failure: Error | undefined;
  let ended = false;
  let halfOpen: NodeJS.Timeout | undefined;
  const finish = (error?: Error): void => {
    failure ??= error;
    if (ended) return;
    ended = true;
    // Or both connections would be held until it runs out.
    clearTimeout(halfOpen);
    guest.destroy();
    upstream.destroy();
    onEnd(failure);
  };
  const oneDone = (): void => {
    if (--open === 0) finish();
    else if (!ended) halfOpen = setTimeout(finish, halfClosed).unref();
  };
  for (const side of [guest, upstream]) {
    side.on("error", finish);
    side.on("close", () => finish());
  }
  const rewriter = redactor.active ? redactor.stream({ keepLength: true }) : undefined;
  forward(guest, upstream, undefined, oneDone);
  let idle: NodeJS.Timeout | undefined;
  forward(
    upstream,
    guest,
    (chunk) => {
      if (rewriter === undefined) return chunk === undefined ? [] : [chunk];
      clearTimeout(idle);
      if (chunk === undefined) return rewriter.end();
      const pieces = rewriter.push(chunk);
      if (rewriter.waits)
        idle = setTimeout(() => guest.writable && rewriter.idle().forEach((piece) => guest.write(piece)), idleAfter);
      return pieces;
    },
    oneDone,
  );
}

/** @param change is called with undefined at the end */
function forward(
  from: Duplex,
  to: Duplex,
  change: ((chunk: Buffer | undefined) => Buffer[]) | undefined,
  done: () => void,
): void {
  const give = (pieces: readonly Buffer[]): boolean => {
    let flows = true;
    for (const piece of pieces) flows = to.write(piece) && flows;
    return flows;
  };
  from.on("data", (chunk: Buffer) => {
    if (!to.writable) return;
    if (!give(change === undefined ? [chunk] : change(chunk))) from.pause();
  });
  to.on("drain", () => from.resume());
  from.on("end", () => {
    if (to.writable) {
      give(change?.(undefined) ?? []);
      to.end();
    }
    done();
  });
  from.resume();
}
