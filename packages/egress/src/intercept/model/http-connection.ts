/** An intercepted connection on which the guest speaks HTTP, and the parts of its sandbox that requests need. */
import type { Duplex } from "node:stream";
import type { EgressEvent } from "@caisson/protocol";
import type { Host } from "@caisson/policy";
import type { Redactor } from "../../redact/redactor.ts";
import type { Origins } from "../../upstream/origins.ts";
import type { Resolution } from "../../resolve/resolver.ts";
import type { Vault } from "../../secrets/vault.ts";

/** The parts of a sandbox that its HTTP connections use. */
export interface Principal {
  readonly id: string;
  readonly vault: Vault;
  readonly redactor: Redactor;
  readonly origins: Origins;
  /** @param signal leaves the queue of lookups */
  resolve(host: Host, port: number, signal?: AbortSignal): Promise<Resolution>;
  /** Takes a place for one more exchange. @returns a function that gives it back; undefined when all places are taken */
  enter(): (() => void) | undefined;
  record(event: Omit<EgressEvent, "sandboxId">): void;
}

export interface HttpConnection {
  readonly principal: Principal;
  /** Identifies the connection in events. */
  readonly id: string;
  readonly scheme: "https" | "http";
  readonly host: Host;
  readonly port: number;
  /**
   * There where the sandbox may reach every host by this connection anyway: nothing is restricted, or the owner has the host passed through,
   * and no secret is for it. Requests may then name any host, as they do to a forward proxy.
   */
  readonly unjudged?: {
    /** Writes to the upstream what was read of the guest so far, and passes on everything else in both directions. */
    passOn(guest: Duplex, first: Buffer): Promise<void>;
  };
}
