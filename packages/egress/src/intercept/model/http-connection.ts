/** What the interception of one connection needs to know about it and about its sandbox. */
import type { EgressEvent } from "@caisson/protocol";
import type { Host } from "@caisson/policy";
import type { Redactor } from "../../redact/redactor.ts";
import type { Origins } from "../../upstream/origins.ts";
import type { Resolution } from "../../resolve/resolver.ts";
import type { Vault } from "../../secrets/vault.ts";

/** The parts of a sandbox that a conversation uses. */
export interface Principal {
  readonly id: string;
  readonly vault: Vault;
  readonly redactor: Redactor;
  readonly origins: Origins;
  /** @param signal gives up the place in the line of lookups */
  resolve(host: Host, port: number, signal?: AbortSignal): Promise<Resolution>;
  /** Takes a place for one more exchange, and returns how to give it back; undefined when all are taken. */
  enter(): (() => void) | undefined;
  record(event: Omit<EgressEvent, "sandboxId">): void;
}

export interface Conversation {
  readonly principal: Principal;
  /** Identifies the connection in events. */
  readonly connection: string;
  readonly scheme: "https" | "http";
  readonly host: Host;
  readonly port: number;
}
