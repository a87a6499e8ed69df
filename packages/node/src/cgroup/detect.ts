/** Finds out which cgroups this process may use. Version 2 is preferred; a hybrid host has its controllers in version 1. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CaissonError } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Cgroups } from "./cgroup.ts";
import { noCgroups } from "./none.ts";
import { createV1, v1Hierarchies } from "./v1.ts";
import { createV2 } from "./v2.ts";

export interface DetectOptions {
  /** The configuration's `allowWithoutCgroups`. */
  readonly allowNone: boolean;
  readonly log: Logger;
  /** As in `/proc/self/mounts`, which is the default. */
  readonly mounts?: string;
}

/** @throws CaissonError `unsupported` on a host without usable cgroups, unless that is allowed */
export async function detectCgroups({ allowNone, log, mounts: given }: DetectOptions): Promise<Cgroups> {
  const mounts = given ?? (await readFile("/proc/self/mounts", "latin1"));
  const reasons: string[] = [];
  for (const parent of await v2Parents(mounts)) {
    try {
      return await createV2(parent);
    } catch (error) {
      reasons.push((error as Error).message);
    }
  }
  try {
    return await createV1(v1Hierarchies(mounts));
  } catch (error) {
    reasons.push((error as Error).message);
  }
  if (!allowNone) {
    throw new CaissonError(
      "unsupported",
      `Caisson cannot use cgroups on this host (${reasons.join("; ")}). Without them, one sandbox can take all memory and processor time of the host. Run Caisson as root, or as another user in a systemd unit with Delegate=yes and DelegateSubgroup=server, or set "allowWithoutCgroups" to true in config.json on a host that only you use.`,
    );
  }
  log.warn(
    { reasons },
    "allowWithoutCgroups: sandboxes have no limits on memory, swap, processor time, disk bandwidth and number of processes; one sandbox can exhaust this host",
  );
  return noCgroups;
}

/**
 * Groups that could hold ours, best first. As root the top of the hierarchy, so that stopping our own service leaves running
 * sandboxes alone; otherwise the neighbourhood of our own group, which a systemd user manager delegates to its user.
 */
async function v2Parents(mounts: string): Promise<readonly string[]> {
  const mount = /^\S+ (\S+) cgroup2 /m.exec(mounts)?.[1];
  if (mount === undefined) return [];
  const own = /^0::(\/.*)$/m.exec(await readFile("/proc/self/cgroup", "latin1"))?.[1];
  const parents = process.getuid?.() === 0 ? [mount] : [];
  if (own !== undefined && own !== "/") parents.push(join(mount, dirname(own)), join(mount, own));
  return parents;
}
