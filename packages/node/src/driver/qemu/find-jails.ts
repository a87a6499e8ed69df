/**
 * Finds jails by the arguments of the processes that hold them. bubblewrap waits outside its jail for as long as the monitor runs, and the
 * monitor cannot change its arguments.
 */
import { readFile } from "node:fs/promises";
import { identifyProcess, processIds } from "@caisson/linux";
import type { Jail } from "../driver.ts";
import { jailPaths } from "./command-line.ts";

export async function findJails(): Promise<readonly Jail[]> {
  const found: Jail[] = [];
  for (const pid of await processIds()) {
    const command = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
    const at = command.findIndex((word, index) => word === "--bind" && command[index + 2] === jailPaths.disks);
    const disksDirectory = command[at + 1];
    // The launcher, which becomes bubblewrap, has all of its arguments.
    if (at === -1 || disksDirectory === undefined || !command.includes("bwrap")) continue;
    const process = await identifyProcess(pid);
    if (process !== undefined) found.push({ disksDirectory, process });
  }
  return found;
}
