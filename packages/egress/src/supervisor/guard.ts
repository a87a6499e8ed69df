/** The egress proxy of a node: spreads sandboxes over worker processes and keeps them attached. */
import { createHash, hkdfSync, randomBytes } from "node:crypto";
import {
  CaissonError,
  type Config,
  type EgressAttachment,
  type EgressEvent,
  type EgressGuard,
} from "@caisson/protocol";
import { validateEgress } from "@caisson/policy";
import type { Logger } from "pino";
import { createResolver } from "../resolve/resolver.ts";
import { createUpstreamTrust } from "../upstream/trust.ts";
import type { WorkerConfig } from "../worker/messages.ts";
import { Attachments } from "./attachments.ts";

export interface EgressGuardOptions {
  readonly config: Config["egress"];
  readonly log: Logger;
  /**
   * At least 32 secret random bytes that belong to this installation, such as its key. The authorities of sandboxes are
   * derived from them, so that a sandbox that outlives the process still trusts its authority. Workers get only a derived
   * key. Absent: random, and sandboxes that are adopted later will not trust the proxy.
   */
  readonly authoritySeed?: Uint8Array;
  /** DNS servers to ask instead of those of the system, `address[:port]`. */
  readonly nameServers?: readonly string[];
}

/** Beyond what the platform needs: for operators and tests. */
export interface SupervisedEgressGuard extends EgressGuard {
  readonly workerPids: readonly number[];
}

/** @throws CaissonError `invalid_argument` when the configuration cannot be used */
export function createEgressGuard({
  config,
  log,
  authoritySeed = randomBytes(32),
  nameServers,
}: EgressGuardOptions): SupervisedEgressGuard {
  if (authoritySeed.length < 32)
    throw new CaissonError("invalid_argument", "The seed of the egress authorities needs at least 32 bytes.");
  const workerConfig: WorkerConfig = {
    resolve: config.resolve,
    allowRanges: config.allowRanges,
    extraCa: config.extraCa,
    answerTimeout: config.answerTimeoutSeconds * 1000,
    ...(config.upstreamProxy !== undefined && { upstreamProxy: config.upstreamProxy }),
    ...(nameServers !== undefined && { nameServers }),
    authoritySeed: new Uint8Array(hkdfSync("sha256", authoritySeed, "", "caisson egress workers", 32)),
    logLevel: log.level,
  };
  checkConfig(workerConfig);
  const listeners = new Set<(events: readonly EgressEvent[], lost: number) => void>();
  const onEvents = (events: readonly EgressEvent[], lost: number): void => {
    for (const listener of listeners) listener(events, lost);
  };
  const floodListeners = new Set<(sandboxId: string, detail: string) => void>();
  const onFlood = (sandboxId: string, detail: string): void => {
    log.warn({ sandbox: sandboxId, detail }, "a sandbox floods its egress port");
    for (const listener of floodListeners) listener(sandboxId, detail);
  };
  const workers = Array.from(
    { length: config.workers },
    () => new Attachments(workerConfig, { onEvents, onFlood }, log),
  );
  const workerOf = (sandboxId: string): Attachments =>
    workers[createHash("sha256").update(sandboxId).digest().readUInt32BE(0) % workers.length]!;

  return {
    async attach(asked, options = {}) {
      const attachment = withBudget(asked, config.maxBytesOutPerHost);
      validateEgress(attachment.policy, attachment.secrets);
      return { caCertificatePem: await workerOf(attachment.sandboxId).attach(attachment, options.signal) };
    },
    detach: (sandboxId) => workerOf(sandboxId).detach(sandboxId),
    onEvents: (listener) => void listeners.add(listener),
    onFlood: (listener) => void floodListeners.add(listener),
    async close() {
      await Promise.all(workers.map((worker) => worker.close()));
    },
    get workerPids() {
      return workers.flatMap((worker) => worker.pid ?? []);
    },
  };
}

/** The operator's budget applies to every sandbox; a sandbox may have a smaller one. */
function withBudget(attachment: EgressAttachment, budget: number | undefined): EgressAttachment {
  if (budget === undefined) return attachment;
  const { policy } = attachment;
  const maxBytesOutPerHost = Math.min(budget, policy.maxBytesOutPerHost ?? budget);
  return { ...attachment, policy: { ...policy, maxBytesOutPerHost } };
}

/** Fails here, where the operator sees it, and not in a worker that would restart for ever. */
function checkConfig(config: WorkerConfig): void {
  try {
    createResolver(config);
    createUpstreamTrust(config.extraCa);
  } catch (error) {
    throw new CaissonError("invalid_argument", `The egress configuration is not valid: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
