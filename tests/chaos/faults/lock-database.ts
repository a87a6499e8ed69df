import { spawn } from "node:child_process";
import { once } from "node:events";
import { databasePath } from "../world/store.ts";
import { always, type Fault } from "./fault.ts";
import { victim } from "./kill-meanwhile.ts";

const script = `
const { DatabaseSync } = require("node:sqlite");
const database = new DatabaseSync(process.argv[1], { timeout: 10000 });
database.exec("BEGIN IMMEDIATE");
process.stdout.write("locked");
setTimeout(() => undefined, 60000);`;

/** Another process holds the write lock, as a backup or an operator at a terminal would. */
export const lockDatabase: Fault = {
  name: "lock-database",
  // A server does not start while its database is locked: it says so and ends.
  touches: ["database", "start"],
  hold: [500, 8000],
  available: always,
  async inject(world) {
    const { home } = world;
    const other = await victim(world);
    const child = spawn(process.execPath, ["-e", script, databasePath(home)], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit");
    await Promise.race([once(child.stdout, "data"), ended]);
    return {
      problems: child.exitCode === null ? ((await other?.kill()) ?? []) : [],
      detail: child.exitCode === null ? `held by process ${child.pid}` : "the lock was not free",
      async heal() {
        child.kill("SIGKILL");
        await ended;
      },
    };
  },
};
