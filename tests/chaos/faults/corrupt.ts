/** Files of a home that were damaged while the server was down. The server must start, and only the owner may notice. */
import {
  copyFileSync,
  existsSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Random } from "../random.ts";
import { machineFiles, recordPath } from "../world/machines.ts";
import { readStore } from "../world/store.ts";
import type { World } from "../world/world.ts";
import { always, type Fault, type Injected } from "./fault.ts";

interface Damage {
  readonly path: string;
  readonly detail: string;
  /** Volumes and snapshots that may no longer work. */
  readonly slugs: readonly string[];
  damage(): void;
}

type Choose = (world: World, random: Random) => Damage | undefined;

function corrupting(what: string, choose: Choose): Fault {
  return {
    name: `corrupt-${what}`,
    touches: ["service", "start", "server", "worker", "clock", "disk", "machine"],
    hold: [0, 500],
    available: always,
    async inject(world, random): Promise<Injected> {
      await world.killServer();
      const chosen = choose(world, random);
      if (chosen === undefined) return { detail: "nothing to damage", heal: () => world.ensureServer() };
      const { path, detail, slugs } = chosen;
      world.history.add({ type: "damaged", slugs });
      const saved = join(world.folder, "saved");
      copyFileSync(path, saved);
      chosen.damage();
      const problems: string[] = [];
      // The start that counts: with the damage.
      await world.server
        .start(30_000)
        .catch((error: unknown) => problems.push(`no start with a damaged ${what}: ${String(error)}`));
      return {
        detail,
        problems,
        async heal() {
          if (world.server.running) await world.killServer();
          // In place: other links to the file must be mended as well.
          if (existsSync(path)) writeFileSync(path, readFileSync(saved));
          else if (what !== "record") copyFileSync(saved, path);
          await world.ensureServer();
          world.history.add({ type: "mended", slugs });
        },
      };
    },
  };
}

/** Overwrites the beginning without shortening the file. */
function zero(path: string, bytes: number): void {
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(Math.min(bytes, statSync(path).size)), 0, undefined, 0);
  closeSync(file);
}

/** A layer that no running machine uses. */
const chooseLayer: Choose = ({ home }, random) => {
  const { layers, leases, volumes, snapshots } = readStore(home);
  const parents = new Map(layers.map(({ id, parent }) => [id, parent]));
  const chain = (id: string | null | undefined): string[] => (id == null ? [] : [id, ...chain(parents.get(id))]);
  const used = new Set(leases.flatMap(({ layer }) => chain(layer)));
  const free = layers.filter(({ id, state }) => state === "ready" && !used.has(id));
  if (free.length === 0) return undefined;
  const { id } = random.pick(free);
  const slugs = [
    ...volumes.filter(({ head }) => chain(head).includes(id)),
    ...snapshots.filter(({ layer }) => chain(layer).includes(id)),
  ].map(({ slug }) => slug);
  const path = join(home, "volumes/layers", `${id}.qcow2`);
  const removed = random.chance(0.3);
  const damage = () => (removed ? rmSync(path) : zero(path, 512));
  return {
    path,
    detail: `layer ${id} ${removed ? "removed" : "overwritten"}, under ${slugs.join(", ")}`,
    slugs,
    damage,
  };
};

const chooseBlob: Choose = ({ home }, random) => {
  const { layers } = readStore(home);
  const copied = layers.filter(({ checksum }) => checksum !== null);
  if (copied.length === 0) return undefined;
  const { checksum, id } = random.pick(copied);
  const path = join(home, "volumes/blobs", checksum!);
  if (!existsSync(path)) return undefined;
  // A link of the image: only its removal leaves the image whole.
  return { path, detail: `copy of layer ${id} removed`, slugs: [], damage: () => rmSync(path) };
};

/** The record of one machine: that sandbox may be lost, and nothing of it may be left. */
const chooseRecord: Choose = ({ home, history }, random) => {
  const claimed = machineFiles(home).filter(({ phase }) => phase === "claimed");
  if (claimed.length === 0) return undefined;
  const { key, machineId } = random.pick(claimed);
  const path = recordPath(home, key);
  history.add({ type: "may-end", id: machineId!, why: "its record was damaged" });
  const cut = random.chance(0.5);
  const damage = () => (cut ? truncateSync(path, 20) : writeFileSync(path, '{"version":99}\n'));
  return { path, detail: `record of ${machineId} (${key})`, slugs: [], damage };
};

export const corruptLayer = corrupting("layer", chooseLayer);
export const corruptBlob = corrupting("blob", chooseBlob);
export const corruptRecord = corrupting("record", chooseRecord);

/** Without its key the server cannot read secrets: it refuses to start, and what runs goes on until the key is back. */
export const corruptKey: Fault = {
  name: "corrupt-key",
  touches: ["service", "start", "server", "worker", "clock", "disk"],
  hold: [0, 200],
  available: always,
  async inject(world) {
    await world.killServer();
    const path = join(world.home, "secret.key");
    const saved = readFileSync(path);
    writeFileSync(path, "damaged");
    world.server.spawn();
    const how = await world.server.refused(30_000);
    return {
      detail: `secret.key; ${how}`,
      ...(how === "it ended with status 1"
        ? {}
        : { problems: [`a start with a damaged key did not fail as it should: ${how}`] }),
      async heal() {
        writeFileSync(path, saved);
        await world.ensureServer();
      },
    };
  },
};
