/** What a node needs. The platform provides it. */
import type { Config, EgressGuard, FileStore, ImageName, LayerStore, NodeId } from "@caisson/protocol";
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

/**
 * The file of an image for running machines, EROFS, built when it is not there. It never changes under its name.
 * @throws CaissonError `unsupported`, `unavailable`
 */
export type ImageSource = (image: ImageName) => Promise<string>;

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
  readonly images: ImageSource;
  readonly log: Logger;
}
