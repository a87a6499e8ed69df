/** One way to break each invariant on purpose, on a real installation, so that each validator is seen to find something. */
import { spawn } from "node:child_process";
import { mkdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { cgroupsOf, isAlive, processes, until } from "@caisson/testing";
import { countPath, mountPath } from "../traffic/messages.ts";
import { egressWorkers, machineFiles } from "../world/machines.ts";
import { databasePath } from "../world/store.ts";
import type { World } from "../world/world.ts";
import type { Resident } from "./resident.ts";

/** What there is before each of them: one lasting sandbox that counts and has a host name, with a volume and a file in it. */
export const stage = { sandbox: "s-resident", volume: "v-resident", file: "f-resident" } as const;

export interface Sabotage {
  /** Name of the validator that must find it. */
  readonly validator: string;
  readonly what: string;
  /** Whether only a look inside shows it. */
  readonly deep?: boolean;
  readonly available?: boolean;
  /** @returns what undoes it */
  commit(world: World, resident: Resident): Promise<() => unknown>;
}

function change(world: World, sql: string, ...values: SQLInputValue[]): void {
  const database = new DatabaseSync(databasePath(world.home), { timeout: 5000 });
  try {
    database.exec("PRAGMA foreign_keys = OFF");
    database.prepare(sql).run(...values);
  } finally {
    database.close();
  }
}

const foreign = "feedfacecafe";

export const sabotages: readonly Sabotage[] = [
  {
    validator: "machines",
    what: "the row of a running sandbox says that it has ended",
    async commit(world) {
      change(world, "UPDATE sandboxes SET phase = 'stopped' WHERE phase = 'running'");
      return () => change(world, "UPDATE sandboxes SET phase = 'running' WHERE phase = 'stopped'");
    },
  },
  {
    validator: "processes",
    what: "a monitor without a record",
    async commit(world) {
      const child = spawn("sh", ["-c", "sleep 60; :", join(world.home, "disks", foreign)], {
        stdio: "ignore",
        detached: true,
      });
      return () => process.kill(-child.pid!, "SIGKILL");
    },
  },
  {
    validator: "disks",
    what: "an image without a row",
    async commit({ home }) {
      const path = join(home, "volumes/layers", `${foreign}.qcow2`);
      writeFileSync(path, "");
      return () => rmSync(path);
    },
  },
  {
    validator: "cgroups",
    what: "a control group without a record",
    available: process.getuid?.() === 0,
    async commit({ home }) {
      const [group = ""] = cgroupsOf(home);
      const path = group.replace(/[0-9a-f]{12}$/, foreign);
      mkdirSync(path);
      return () => rmdirSync(path);
    },
  },
  {
    validator: "routes",
    what: "the name of a running sandbox is deleted from the store",
    async commit(world) {
      change(world, "UPDATE previews SET label = 'x' || label");
      return () => change(world, "UPDATE previews SET label = substr(label, 2)");
    },
  },
  {
    validator: "quotas",
    what: "a volume larger than the organisation may have",
    async commit(world) {
      change(world, "UPDATE volumes SET capacity = capacity * 1000");
      return () => change(world, "UPDATE volumes SET capacity = capacity / 1000");
    },
  },
  {
    validator: "answers",
    what: "a volume that was acknowledged has another name",
    async commit(world) {
      change(world, "UPDATE volumes SET slug = 'renamed' WHERE slug = ?", stage.volume);
      return () => change(world, "UPDATE volumes SET slug = ? WHERE slug = 'renamed'", stage.volume);
    },
  },
  {
    validator: "counters",
    what: "the counting process is stopped inside the sandbox",
    deep: true,
    async commit(_world, resident) {
      // The brackets keep the pattern from matching the shell that runs this command.
      const pattern = countPath.replace("/h", "/[h]");
      const signal = (name: string) => resident.sandbox(stage.sandbox).sh`pkill ${`-${name}`} -f ${pattern}`.noThrow();
      await signal("STOP");
      return () => signal("CONT");
    },
  },
  {
    validator: "contents",
    what: "a flushed file is replaced",
    deep: true,
    async commit(_world, resident) {
      const path = `${mountPath(stage.volume)}/${stage.file}`;
      const { fs } = resident.sandbox(stage.sandbox);
      const former = await fs.readTextFile(path);
      await fs.writeTextFile(path, "something else");
      return () => fs.writeTextFile(path, former);
    },
  },
  {
    validator: "egress",
    what: "the egress worker is stopped",
    deep: true,
    async commit({ server }) {
      const [worker] = egressWorkers(server.pid);
      process.kill(worker!.pid, "SIGSTOP");
      return () => {
        // A worker that does not answer is killed and replaced after a while.
        if (isAlive(worker!)) process.kill(worker!.pid, "SIGCONT");
      };
    },
  },
  {
    validator: "secrets",
    what: "the secrets of a running sandbox are deleted",
    async commit(world) {
      change(world, "UPDATE secrets SET sandbox_id = 'x' || sandbox_id");
      return () => change(world, "UPDATE secrets SET sandbox_id = substr(sandbox_id, 2)");
    },
  },
  {
    validator: "answers",
    what: "a machine is killed behind the model's back",
    async commit({ home }) {
      const machine = machineFiles(home).find(({ phase }) => phase === "claimed")!;
      process.kill(machine.pid!, "SIGKILL");
      await until(
        10_000,
        "the end of what the machine held",
        () => !machineFiles(home).some(({ key }) => key === machine.key),
      );
      return () => undefined;
    },
  },
  {
    validator: "server",
    what: "the server is killed behind the driver's back",
    async commit({ server }) {
      const found = processes().find(({ pid }) => pid === server.pid)!;
      process.kill(server.pid, "SIGKILL");
      await until(5_000, "the end of the server", () => !isAlive(found) && !server.running);
      return () => server.start();
    },
  },
];
