/** Waits for the first bytes of a connection and puts them back, so that the next reader gets them again. */
import type { Duplex } from "node:stream";
import { Sniffer, type Sniffed } from "./first-bytes.ts";

export type FirstBytes =
  | Exclude<Sniffed, { kind: "more" }>
  /** Nothing came for `silence` milliseconds: perhaps the server speaks first. */
  | { readonly kind: "silent" }
  /** Data came, but in time not enough to recognise the protocol. */
  | { readonly kind: "slow" }
  /** Data came, but not enough to recognise the protocol, and the stream has ended. Nothing can be put back into it, so the data is here. */
  | { readonly kind: "cut"; readonly bytes: Buffer }
  | { readonly kind: "ended" };

export interface FirstBytesOptions {
  /** Milliseconds without any byte until `silent`; absent: only `patience` counts. */
  readonly silence?: number;
  /** Milliseconds until `slow`, or `ended` when nothing came at all. */
  readonly patience: number;
}

export function firstBytesOf(socket: Duplex, options: FirstBytesOptions): Promise<FirstBytes> {
  return new Promise((resolve) => {
    const sniffer = new Sniffer();
    const settle = (result: FirstBytes): void => {
      clearTimeout(silence);
      clearTimeout(patience);
      socket.off("data", take).off("end", ended).off("close", ended);
      socket.pause();
      if (sniffer.bytes.length > 0 && result.kind !== "cut") socket.unshift(sniffer.bytes);
      resolve(result);
    };
    const ended = (): void =>
      settle(sniffer.bytes.length === 0 ? { kind: "ended" } : { kind: "cut", bytes: sniffer.bytes });
    const take = (chunk: Buffer): void => {
      clearTimeout(silence);
      const result = sniffer.push(chunk);
      if (result.kind !== "more") settle(result);
    };
    const silence =
      options.silence === undefined ? undefined : setTimeout(() => settle({ kind: "silent" }), options.silence);
    const patience = setTimeout(
      () => settle(sniffer.bytes.length === 0 ? { kind: "ended" } : { kind: "slow" }),
      options.patience,
    );
    if (socket.destroyed || socket.readableEnded) return settle({ kind: "ended" });
    socket.on("data", take).once("end", ended).once("close", ended);
    socket.resume();
  });
}
