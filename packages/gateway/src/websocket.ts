/** Upgrades: the head of the 101 is written anew, then bytes go through in both directions until one side ends or falls silent. */
import { validateHeaderName, validateHeaderValue } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream";
import type { HeaderList } from "./headers.ts";
import { limits } from "./limits.ts";

export interface Joined {
  readonly visitor: Duplex & { setTimeout?(milliseconds: number): unknown };
  readonly inside: Duplex;
  /** Of the 101, without those of the connection. */
  readonly headers: HeaderList;
  readonly ended: AbortSignal;
}

/** Takes both sides over; each is destroyed with the other. */
export function join({ visitor, inside, headers, ended }: Joined): void {
  const cut = () => {
    visitor.destroy();
    inside.destroy();
  };
  // Two pipelines, the HTTP server and this file each listen for the end.
  visitor.setMaxListeners(24);
  inside.on("error", cut);
  visitor.on("error", cut);
  try {
    const lines = headers.map(([name, value]) => {
      validateHeaderName(name);
      validateHeaderValue(name, value);
      return `${name}: ${value}\r\n`;
    });
    const head = `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${lines.join("")}\r\n`;
    visitor.write(Buffer.from(head, "latin1"));
  } catch {
    return cut();
  }
  ended.addEventListener("abort", cut, { once: true });
  visitor.once("close", () => ended.removeEventListener("abort", cut));
  // Counts bytes in both directions: whoever only listens writes nothing for a long time.
  visitor.setTimeout?.(limits.quietSocket);
  visitor.on("timeout", cut);
  // A WebSocket has no half that goes on alone: a visitor who ended has left, and one who was ended has a moment to say so, or a
  // side that never ends would keep the other for as long as it likes.
  pipeline(visitor, inside, cut);
  pipeline(inside, visitor, () => {
    const timer = setTimeout(cut, limits.linger);
    visitor.once("close", () => clearTimeout(timer));
  });
}
