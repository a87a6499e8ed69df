/** What a node needs. The platform provides it. */
import type { Config, EgressGuard, FileStore, LayerStore, NodeId } from "@caisson/protocol";
import type { Logger } from "pino";
import type { VmDriver } from "./driver/driver.ts";

/** Names the guest software: absolute paths of files that never change under their name. */
export interface ImageManifest {
  /** Changes whenever base, kernel or agent change. */
  readonly key: string;
  readonly base: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly agentVersion: string;
}

export interface NodeOptions {
  readonly id: NodeId;
  readonly home: string;
  readonly cache: string;
  readonly image: ImageManifest;
  /** See `NodeStatus.baseImage`. */
  readonly baseImage: string;
  readonly config: Pick<Config, "allowWithoutCgroups" | "accelerator" | "sandbox" | "pool">;
  readonly driver: VmDriver;
  readonly egress: Pick<EgressGuard, "attach" | "detach" | "onEvents" | "onFlood">;
  readonly layers: LayerStore;
  readonly files: FileStore;
  readonly log: Logger;
}
