/** The WebSocket by which a viewer attaches to a terminal. */
import { CaissonError } from "@caisson/protocol";
import { WebSocketServer } from "ws";
import { acceptUpgrade } from "../kernel/http/accept-upgrade.ts";
import type { UpgradeRoute } from "../kernel/slice.ts";
import type { MemoryLedger } from "../rpc/index.ts";
import type { Sandboxes } from "../sandboxes/index.ts";
import { terminalLimits, viewerBytes } from "./limits.ts";
import type { Terminals } from "./terminals.ts";

export function attachRoute(sandboxes: Sandboxes, terminals: Terminals, ledger: MemoryLedger): UpgradeRoute {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: terminalLimits.message,
    perMessageDeflate: false,
    maxFragments: 64,
    maxBufferedChunks: 1024,
    clientTracking: false,
  });
  return {
    path: /^\/api\/v1\/sandboxes\/([^/]+)\/terminals\/([^/]+)\/attach$/,
    async handle(upgrade) {
      const { request, socket, match, org, log, gone } = upgrade;
      const readOnly = isReadOnly(request.url ?? "");
      const sandbox = await sandboxes.find(org.id, match[1]!);
      const terminal = terminals.find(sandbox.id, match[2]!);
      if (terminal.full)
        throw new CaissonError(
          "resource_exhausted",
          `Terminal ${terminal.id} already has ${terminalLimits.viewers} viewers, the limit.`,
        );
      const hold = ledger.of(sandbox).streams.try(viewerBytes);
      if (hold === undefined)
        throw new CaissonError(
          "resource_exhausted",
          `Sandbox ${sandbox.id} has so many connections and streams that no memory is left for a viewer.`,
        );
      if (gone.aborted || socket.destroyed) return hold.release();
      const attached = acceptUpgrade(sockets, upgrade, [], (client) => {
        const viewer = terminal.attach({
          socket: client,
          readOnly,
          hold,
          log: log.child({ sandbox: sandbox.id, terminal: terminal.id }),
        });
        return (code, reason) => viewer.close(code, reason);
      });
      if (!attached) hold.release();
    },
  };
}

/** @throws CaissonError `invalid_argument` */
function isReadOnly(url: string): boolean {
  const value = new URLSearchParams(url.split("?", 2)[1] ?? "").get("readOnly") ?? "false";
  if (value !== "true" && value !== "false")
    throw new CaissonError("invalid_argument", "`readOnly` must be `true` or `false`.");
  return value === "true";
}
