/** What the node is given by whoever composes the platform. */
import type { Config, EgressGuard } from "@caisson/protocol";
import type { Logger } from "pino";

/** Names the guest software: absolute paths of files that never change under their name. */
export interface ImageManifest {
  /** Changes whenever base, kernel or agent change. */
  readonly key: string;
  readonly base: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly agentVersion: string;
}

/** How a machine was made ready. */
export type StartSource = "pool" | "standing" | "restore";

/** Called as things happen; must not throw. */
export interface NodeMetrics {
  machineCreated?(source: StartSource, milliseconds: number): void;
  machineEnded?(reason: "stopped" | "crashed"): void;
  templateBuilt?(milliseconds: number): void;
}

export interface NodeOptions {
  readonly home: string;
  readonly cache: string;
  readonly image: ImageManifest;
  readonly config: Pick<Config, "accelerator" | "sandbox" | "pool">;
  readonly egress: Pick<EgressGuard, "attach" | "detach">;
  readonly log: Logger;
  readonly metrics?: NodeMetrics;
  /** Told what a start is waiting for, in words for people. */
  readonly progress?: (step: string) => void;
}
