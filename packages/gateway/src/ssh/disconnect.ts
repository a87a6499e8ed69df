/** Ends connections so that the client can say why. */
import { endSoon } from "@caisson/http1";
import type { Connection } from "ssh2";
import { sendDisconnect, socketOf } from "./library.ts";
import { sshLimits } from "./limits.ts";

export const sandboxEnded = "Caisson: the sandbox has ended.";

/** @param words one sentence or two; clients print them as they are. Idempotent */
export function disconnect(connection: Connection, reason: number, words: string): void {
  const socket = socketOf(connection);
  if (!socket.writable) return;
  try {
    sendDisconnect(connection, reason, words);
  } catch {
    // The library has given this connection up after a fault of the client.
  }
  endSoon(socket, sshLimits.linger);
}
