/** Who an installation is: the id of its node, and its key. Both are files of its home, made on the first start. */
import type { NodeId } from "@caisson/protocol";
import { formerUse, type FormerUse } from "@caisson/server";
import type { Logger } from "pino";
import { nodeIdOf } from "./home.ts";
import { loadKey } from "./secret-key.ts";

export interface IdentityPlace {
  readonly home: string;
  /** Absent: the embedded database, which belongs to this home alone. */
  readonly databaseUrl?: string | undefined;
  readonly log: Logger;
}

/**
 * The id of the node. Where the embedded database has rows of one node and the file is missing, it is that one.
 * @throws CaissonError `invalid_argument` when the file is damaged, `unavailable` when it is missing and the database cannot be opened
 */
export function loadNodeId(place: IdentityPlace): Promise<NodeId> {
  return identify(place).nodeId();
}

/** @throws CaissonError see `loadNodeId` and `loadKey` */
export async function loadIdentity(place: IdentityPlace): Promise<{ readonly nodeId: NodeId; readonly key: Buffer }> {
  const identity = identify(place);
  const nodeId = await identity.nodeId();
  return { nodeId, key: await identity.key(nodeId) };
}

function identify(place: IdentityPlace) {
  const { home, databaseUrl } = place;
  let asked: Promise<FormerUse> | undefined;
  // The database is opened only when one of the files is missing.
  const former = () => (asked ??= formerUse(place));
  return {
    nodeId: () =>
      nodeIdOf(home, async () => {
        if (databaseUrl !== undefined) return undefined;
        const { nodes } = await former();
        return nodes.length === 1 ? nodes[0] : undefined;
      }),
    key: (nodeId: NodeId) =>
      loadKey({
        home,
        unused: async () => {
          const { nodes, sealed } = await former();
          // A shared database has rows of other nodes, which have keys of their own.
          return databaseUrl === undefined ? !sealed : !nodes.includes(nodeId);
        },
      }),
  };
}
