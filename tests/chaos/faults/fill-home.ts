import { execFile } from "node:child_process";
import { rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Fault } from "./fault.ts";
import { victim } from "./kill-meanwhile.ts";

/** Reserves most of it at once, and then writes until nothing more fits. */
const script = `fallocate -l "$2" "$1"; cat /dev/zero >> "$1" 2>/dev/null; true`;

/** Takes the last byte of the home's file system. */
export const fillHome: Fault = {
  name: "fill-home",
  touches: ["disk"],
  hold: [500, 3000],
  available: ({ disk }) => (disk.sized ? undefined : "the home is not on a file system of its own (needs root)"),
  async inject(world) {
    const { home } = world;
    const other = await victim(world);
    const path = join(home, "filler");
    const { bavail, bsize } = statfsSync(home);
    const most = Math.max(0, bavail * bsize - 4 * 2 ** 20);
    await promisify(execFile)("sh", ["-c", script, "fill", path, String(most)]);
    return {
      problems: (await other?.kill()) ?? [],
      detail: `${Math.round((bavail * bsize) / 2 ** 20)} MiB`,
      heal: () => Promise.resolve(rmSync(path, { force: true })),
    };
  },
};
