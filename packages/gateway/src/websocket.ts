/** WebSockets: the gateway writes the head of the 101, then forwards bytes in both directions until one side ends or is silent. */
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream";
import { switchToWebSocket, type HeaderList } from "@caisson/http1";
import { limits } from "./limits.ts";

export interface Joined {
  readonly visitor: Duplex & { setTimeout?(milliseconds: number): unknown };
  readonly inside: Duplex;
  /** Of the 101, without those of the connection. */
  readonly headers: HeaderList;
  readonly ended: AbortSignal;
}

/** Takes over both connections; when one is closed, so is the other. */
export function join({ visitor, inside, headers, ended }: Joined): void {
  const cut = () => {
    visitor.destroy();
    inside.destroy();
  };
  // Two pipelines, the HTTP server and this file each listen for the end.
  for (const one of [visitor, inside]) one.setMaxListeners(24);
  inside.on("error", cut);
  visitor.on("error", cut);
  try {
    switchToWebSocket(visitor, headers);
  } catch {
    return cut();
  }
  ended.addEventListener("abort", cut, { once: true });
  visitor.once("close", () => ended.removeEventListener("abort", cut));
  // Counts bytes in both directions, because a visitor who only reads writes nothing for a long time.
  visitor.setTimeout?.(limits.quietSocket);
  visitor.on("timeout", cut);
  // A WebSocket has no half-open state. A visitor who ends has disconnected. When the program ends, the visitor has a moment to end
  // too; a visitor that never ends must not keep the connections.
  pipeline(visitor, inside, cut);
  pipeline(inside, visitor, () => {
    const timer = setTimeout(cut, limits.linger);
    visitor.once("close", () => clearTimeout(timer));
  });
}
