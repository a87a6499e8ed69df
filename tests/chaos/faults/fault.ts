/** Something that goes wrong, and how it is mended. */
import type { Random } from "../random.ts";
import type { World } from "../world/world.ts";

/**
 * What a fault acts on. Two faults of one round never act on the same. `service`: nobody is served while it holds.
 * `start`: the server is started, or refuses to.
 */
export type Target =
  | "service"
  | "start"
  | "server"
  | "worker"
  | "machine"
  | "client"
  | "disk"
  | "database"
  | "clock"
  | "memory";

export interface Fault {
  /** Begins with its kind: kill, leave, stop, fill, lock, corrupt, take, shift, flood. */
  readonly name: string;
  readonly touches: readonly Target[];
  /** Shortest and longest time until it is mended, milliseconds. */
  readonly hold: readonly [number, number];
  /** Why it cannot be injected here and now. Undefined: it can. */
  available(world: World): string | undefined;
  inject(world: World, random: Random): Promise<Injected>;
}

export interface Injected {
  /** For the history: which process, which file, how much. */
  readonly detail: string;
  /** What is wrong while it holds, such as a refusal that did not come. */
  readonly problems?: readonly string[];
  /** Mends it. Resolves when the installation should recover by itself. */
  heal(): Promise<void>;
}

export const always = (): undefined => undefined;
