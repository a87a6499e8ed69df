/** A worker process of the egress proxy: serves the egress ports of some sandboxes. Started by the supervisor. */
import { setImmediate as turn } from "node:timers/promises";
import { pino } from "pino";
import type { EgressAttachment } from "@caisson/protocol";
import { createHttp1Server } from "../intercept/http1/server.ts";
import type { Deliver } from "../record/recorder.ts";
import { createUpstreamTrust } from "../upstream/trust.ts";
import { createResolver } from "../resolve/resolver.ts";
import { createInOrder } from "./in-order.ts";
import type { FromWorker, ToWorker, WorkerConfig } from "./messages.ts";
import { servePort, type Port } from "./port.ts";
import { createSandbox, type Sandbox, type Shared } from "./sandbox.ts";

const log = pino({ name: "egress-worker" }, pino.destination(2));
const attached = new Map<string, { sandbox: Sandbox; port: Port }>();
/** Attaching and detaching both take several turns. Interleaved, they would leave a port that nobody can close any more. */
const inOrder = createInOrder();
let shared: Shared | undefined;

/** More than this waiting in the channel means that the supervisor does not keep up; events are dropped then, not kept. */
const maxUndelivered = 64;
let undelivered = 0;

function post(message: FromWorker): void {
  if (!process.connected) return;
  undelivered++;
  process.send!(message, undefined, undefined, () => void undelivered--);
}

function configure(config: WorkerConfig): void {
  log.level = config.logLevel;
  let dropped = 0;
  const deliver: Deliver = (events, lost) => {
    if (undelivered > maxUndelivered) {
      dropped += events.length + lost;
      return;
    }
    post({ type: "events", events, lost: lost + dropped });
    dropped = 0;
  };
  shared = {
    resolver: createResolver(config),
    deliver,
    http1: createHttp1Server(),
    dialing: {
      trust: createUpstreamTrust(config.extraCa),
      patience: config.answerTimeout,
      ...(config.upstreamProxy !== undefined && { upstreamProxy: new URL(config.upstreamProxy) }),
    },
    authoritySeed: config.authoritySeed,
  };
}

async function attach(attachment: EgressAttachment): Promise<string> {
  if (shared === undefined) throw new Error("The worker was not configured");
  await detach(attachment.sandboxId);
  const sandbox = await createSandbox(attachment, shared);
  const port = servePort(sandbox, attachment.socketPath, {
    onTrouble: (error) => log.debug({ sandbox: sandbox.id, why: (error as Error).message }, "egress port"),
    onFlood: (detail) => post({ type: "flood", sandboxId: sandbox.id, detail }),
  });
  attached.set(attachment.sandboxId, { sandbox, port });
  return sandbox.authority.certificatePem;
}

/** Resolves when nothing of the sandbox is served and all its events have been sent. */
async function detach(sandboxId: string): Promise<void> {
  const entry = attached.get(sandboxId);
  if (entry === undefined) return;
  attached.delete(sandboxId);
  const closed = entry.port.close();
  entry.sandbox.origins.destroy();
  await closed;
  // Exchanges whose connections ended just now record it in this turn.
  await turn();
  entry.sandbox.flush();
}

async function handle(message: ToWorker): Promise<void> {
  switch (message.type) {
    case "configure":
      configure(message.config);
      return;
    case "attach": {
      const { attachment } = message;
      const caCertificatePem = await inOrder(attachment.sandboxId, () => attach(attachment));
      post({ type: "done", call: message.call, caCertificatePem });
      return;
    }
    case "detach":
      await inOrder(message.sandboxId, () => detach(message.sandboxId));
      post({ type: "done", call: message.call });
      return;
    case "ping":
      post({ type: "done", call: message.call });
  }
}

process.on("message", (message: ToWorker) => {
  handle(message).catch((error: unknown) => {
    if ("call" in message) post({ type: "failed", call: message.call, message: (error as Error).message });
    else {
      log.fatal({ why: (error as Error).message }, "the configuration cannot be used");
      process.exit(2);
    }
  });
});
// Without its supervisor nobody could take a sandbox away from it.
process.on("disconnect", () => process.exit(0));
// Only the message and where it came from: an error object may carry what was being sent.
const last =
  (kind: string) =>
  (error: unknown): void => {
    const { name, code, stack } = (error ?? {}) as { name?: string; code?: string; stack?: string };
    log.fatal(
      {
        kind,
        name,
        code,
        frames: stack
          ?.split("\n")
          .filter((line) => /^\s+at /.test(line))
          .slice(0, 12),
      },
      "unexpected failure",
    );
    process.exit(1);
  };
process.on("uncaughtException", last("exception"));
process.on("unhandledRejection", last("rejection"));
// A terminal's interrupt reaches the whole process group; the supervisor decides when workers end.
process.on("SIGINT", () => {});
