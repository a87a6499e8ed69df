import { CaissonError } from "@caisson/protocol";
import type { Context } from "hono";

/**
 * Answers a request without an upgrade at a path for WebSockets. Upgrades never get here: `upgrades.ts` serves them.
 * @throws CaissonError `upgrade_required`, always
 */
export function requireUpgrade(c: Context): never {
  c.header("upgrade", "websocket");
  throw new CaissonError(
    "upgrade_required",
    "This path takes a WebSocket upgrade with GET. Use an official client or a WebSocket library.",
  );
}
