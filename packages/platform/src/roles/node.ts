/** The role of a node: microVMs on this host, their disks, and the egress proxy. */
import { basename, dirname } from "node:path";
import { createEgressGuard } from "@caisson/egress";
import { createNode, createQemuDriver } from "@caisson/node";
import type { Config, NodeId, SandboxNode } from "@caisson/protocol";
import type { Logger } from "pino";
import { ownImage } from "../image.ts";
import { imageSource } from "../image-source.ts";
import { openFiles, openLayers } from "./layers.ts";

export interface NodePlace {
  readonly home: string;
  readonly cache: string;
  readonly config: Config;
  readonly nodeId: NodeId;
  /** The authorities of sandboxes follow from it: those that outlive this process go on trusting the proxy. */
  readonly seed: Buffer;
  readonly log: Logger;
}

export interface RunningNode {
  readonly node: SandboxNode;
  close(machines: "end" | "leave"): Promise<void>;
}

/** @throws CaissonError `unavailable` when the set-up has not run */
export async function openNode({ home, cache, config, nodeId, seed, log }: NodePlace): Promise<RunningNode> {
  const image = await ownImage();
  const egress = createEgressGuard({ config: config.egress, log: log.child({ part: "egress" }), authoritySeed: seed });
  const closed = new AbortController();
  const node = createNode({
    id: nodeId,
    home,
    cache,
    image,
    // The folder is named by the recipe of the base image alone: a new kernel or agent does not matter to root file systems.
    baseImage: basename(dirname(image.base)),
    config,
    driver: createQemuDriver(),
    egress,
    layers: openLayers(home),
    files: openFiles(home),
    images: imageSource({ config, signal: closed.signal, log: log.child({ part: "images" }) }),
    log: log.child({ part: "node" }),
  });
  return {
    node,
    async close(machines) {
      closed.abort();
      await node.close(machines);
      await egress.close();
    },
  };
}
