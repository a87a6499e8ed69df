/** Decides which layers can be removed and which chains should become shorter. Works on rows only and changes nothing. */
import type { LayerId } from "@caisson/protocol";
import type { LayerRow } from "./tables.ts";

export type PlannedLayer = Pick<LayerRow, "id" | "parent" | "kind" | "state" | "sealed">;

export interface PlannerInput {
  readonly layers: readonly PlannedLayer[];
  /** Heads of volumes, layers of snapshots, layers that sandboxes hold. */
  readonly referenced: ReadonlySet<LayerId>;
  /** Layers that a running machine can write, sealed ones included. They are neither moved nor read. */
  readonly written: ReadonlySet<LayerId>;
  /** Layers that cannot be read, and all above them. They can be removed, but not copied. Default: none. */
  readonly damaged?: ReadonlySet<LayerId>;
  /** Longest chain wanted. */
  readonly maxDepth: number;
}

export interface Collapse {
  readonly layer: LayerId;
  /** The ancestor that becomes its parent. Null: it gets none. */
  readonly onto: LayerId | null;
}

export interface Plan {
  /** Leaves first. */
  readonly remove: readonly LayerId[];
  readonly collapse: readonly Collapse[];
}

export function planLayers({ layers, referenced, written, damaged = new Set(), maxDepth }: PlannerInput): Plan {
  const byId = new Map(layers.map((layer) => [layer.id, layer]));
  const children = new Map<LayerId, Set<LayerId>>(layers.map(({ id }) => [id, new Set()]));
  for (const { id, parent } of layers) if (parent !== null) children.get(parent)?.add(id);
  const removable = ({ id, state }: PlannedLayer) =>
    state === "ready" && !referenced.has(id) && children.get(id)!.size === 0;

  const remove: LayerId[] = [];
  const queue = layers.filter(removable);
  for (let layer = queue.pop(); layer !== undefined; layer = queue.pop()) {
    remove.push(layer.id);
    const parent = layer.parent === null ? undefined : byId.get(layer.parent);
    if (parent === undefined) continue;
    children.get(parent.id)!.delete(layer.id);
    if (removable(parent)) queue.push(parent);
  }

  const removed = new Set(remove);
  const still = (layer: PlannedLayer) => layer.state === "ready" && !removed.has(layer.id);
  const movable = (layer: PlannedLayer) =>
    still(layer) &&
    layer.kind !== "ephemeral" &&
    layer.kind !== "builtin" &&
    !written.has(layer.id) &&
    !damaged.has(layer.id);
  /** Used only by the one layer above it. */
  const idle = (layer: PlannedLayer) =>
    layer.kind !== "builtin" &&
    still(layer) &&
    !written.has(layer.id) &&
    !referenced.has(layer.id) &&
    children.get(layer.id)!.size === 1;
  const parentOf = (layer: PlannedLayer) => (layer.parent === null ? undefined : byId.get(layer.parent));

  const collapse = new Map<LayerId, Collapse>();
  for (const layer of layers) {
    if (!movable(layer) || idle(layer)) continue;
    let below = parentOf(layer);
    if (below === undefined || !idle(below)) continue;
    while (below !== undefined && idle(below)) below = parentOf(below);
    if (below !== undefined && written.has(below.id)) continue;
    collapse.set(layer.id, { layer: layer.id, onto: below?.id ?? null });
  }
  if (collapse.size === 0) {
    for (const layer of layers) {
      if (!movable(layer)) continue;
      const chain: PlannedLayer[] = [layer];
      // The bound is for rows that were damaged so that they form a circle.
      for (let below = parentOf(layer); below !== undefined && chain.length <= layers.length; below = parentOf(below))
        chain.push(below);
      // Only the lowest layer that is too deep. When it has no parent, all chains through it are shorter too.
      if (chain.length !== maxDepth + 1 || chain.some(({ id }) => written.has(id))) continue;
      const bottom = chain.at(-1)!;
      collapse.set(layer.id, { layer: layer.id, onto: bottom.kind === "builtin" ? bottom.id : null });
    }
  }
  return { remove, collapse: [...collapse.values()] };
}
