/** WebSocket upgrades: create and connect (wire contract 2.1). */
import { CaissonError, type Config } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Histogram } from "prom-client";
import { WebSocketServer } from "ws";
import { acceptUpgrade } from "../kernel/http/accept-upgrade.ts";
import type { Upgrade, UpgradeRoute } from "../kernel/slice.ts";
import { checkCreateConfig, decodeConfigHeader, type LiveSandbox, type Sandboxes } from "../sandboxes/index.ts";
import type { Methods } from "./call.ts";
import type { Turns } from "../kernel/turns.ts";
import { Connection, connectionBytes, type ConnectionOptions } from "./connection.ts";
import type { MemoryLedger } from "./memory/ledger.ts";

/** Milliseconds. When the client disconnects, the create is cancelled. */
const createTimeout = 120_000;
/** The Python client gives up after 10 s (T19) and shows no reason. So it gets an error before that. Milliseconds. */
const pythonPatience = 9_000;

export interface UpgradeContext {
  readonly config: Config;
  readonly sandboxes: Sandboxes;
  readonly methods: () => Methods;
  readonly extraCa: readonly string[];
  readonly ledger: MemoryLedger;
  readonly turns: Turns;
  readonly creates: Histogram<"outcome">;
  readonly observe: ConnectionOptions["observe"];
}

export function sandboxUpgrades(context: UpgradeContext): readonly UpgradeRoute[] {
  const { config, sandboxes } = context;
  const open = opener(context);
  return [
    {
      path: /^\/api\/v3\/sandboxes\/create$/,
      async handle(upgrade) {
        open(upgrade, await create(upgrade, context), true);
      },
    },
    {
      path: /^\/api\/v3\/sandbox(?:es)?\/([^/]+)\/connect$/,
      async handle(upgrade) {
        const sandbox = await sandboxes.find(upgrade.org.id, upgrade.match[1]!);
        if (sandbox.connections.size >= config.limits.connectionsPerSandbox) {
          throw new CaissonError(
            "resource_exhausted",
            `Sandbox ${sandbox.id} already has ${sandbox.connections.size} connections, the limit.`,
          );
        }
        open(upgrade, sandbox, false);
      },
    },
  ];
}

async function create(
  { request, org, gone }: Upgrade,
  { config, sandboxes, creates }: UpgradeContext,
): Promise<LiveSandbox> {
  const wanted = checkCreateConfig(decodeConfigHeader(request.headers["x-deno-sandbox-config"]), config, Date.now());
  const measured = creates.startTimer();
  const late = new AbortController();
  // Its WebSocket library names itself "Python/3.13 websockets/15.0".
  const patience = /^python\//i.test(request.headers["user-agent"] ?? "") ? pythonPatience : createTimeout;
  const timer = setTimeout(() => late.abort(tooLate(patience)), patience);
  try {
    const sandbox = await sandboxes.create(org, wanted, AbortSignal.any([gone, late.signal]));
    measured({ outcome: "ok" });
    return sandbox;
  } catch (error) {
    measured({ outcome: "error" });
    throw late.signal.aborted ? late.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

function tooLate(milliseconds: number): CaissonError {
  return new CaissonError(
    "unavailable",
    `The sandbox was not ready after ${milliseconds / 1000} s, because the node is busy. Try again in a few seconds.`,
  );
}

/** @returns a function that answers an upgrade with 101 and serves the connection */
function opener(context: UpgradeContext): (upgrade: Upgrade, sandbox: LiveSandbox, primary: boolean) => void {
  const { config, sandboxes } = context;
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: config.limits.messageBytes,
    perMessageDeflate: false,
    // Each piece of a message is an object of its own until the message is complete.
    maxFragments: 4096,
    maxBufferedChunks: 65_536,
    // See `Connection`.
    autoPong: false,
    clientTracking: false,
  });
  return (upgrade, sandbox, primary) => {
    const { socket, log, gone } = upgrade;
    const abandoned = () => {
      if (primary && sandbox.session) sandboxes.endSession(sandbox);
    };
    if (gone.aborted || socket.destroyed) return abandoned();
    // It may have ended since it was found, or the server stops.
    if (sandbox.ended.aborted) throw new CaissonError("gone", `Sandbox ${sandbox.id} has ended.`);
    const memory = context.ledger.of(sandbox);
    const hold = memory.streams.try(connectionBytes);
    if (hold === undefined) {
      abandoned();
      throw new CaissonError(
        "resource_exhausted",
        `Sandbox ${sandbox.id} has so many connections and streams that no memory is left for another connection.`,
      );
    }
    const opened = acceptUpgrade(sockets, upgrade, [`x-deno-sandbox-id: ${sandbox.id}`], (client) => {
      const connection = serve(
        { socket: client, stream: socket, sandbox, memory, hold },
        log.child({ sandbox: sandbox.id, primary }),
        abandoned,
      );
      if (primary) sandbox.attend(connection);
      return (code, reason) => connection.close(code, reason);
    });
    if (opened) return;
    hold.release();
    abandoned();
  };

  type Parts = Pick<ConnectionOptions, "socket" | "stream" | "sandbox" | "memory" | "hold">;

  function serve(parts: Parts, log: Logger, onEnd: () => void): Connection {
    return new Connection({
      ...parts,
      turn: context.turns.of(parts.sandbox.orgId),
      messageBytes: config.limits.messageBytes,
      methods: context.methods(),
      extraCa: context.extraCa,
      grace: config.sandbox.sessionGrace * 1000,
      // Base64 makes data a third longer, and the frame around it needs some bytes.
      replyBytes: Math.floor((config.limits.messageBytes - 4096) * 0.75),
      log,
      observe: context.observe,
      onEnd,
    });
  }
}
