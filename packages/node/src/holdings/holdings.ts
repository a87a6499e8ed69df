/** Everything that one machine uses on the host: directories, user, cgroup, record. Created before the machine, removed after it. */
import { CaissonError } from "@caisson/protocol";
import type { Cgroup, Cgroups } from "../cgroup/cgroup.ts";
import type { VmShape } from "../driver/driver.ts";
import {
  createMachineDirectories,
  type MachineDirectories,
  machineDirectories,
  type NodeDirectories,
  removeMachineDirectories,
} from "../runtime/directories.ts";
import { type MachineRecord, writeRecord } from "../runtime/machine-record.ts";
import { killProcess } from "@caisson/linux";
import type { MonitorUsers } from "../runtime/users.ts";
import { reclaimImages } from "./disk-links.ts";
import { machineLimits } from "./limits.ts";

export interface HostResources {
  readonly cgroups: Cgroups;
  /** Prefix of the names of all our control groups; other installations on this host have other prefixes. */
  readonly groupPrefix: string;
  readonly directories: NodeDirectories;
  readonly users: MonitorUsers;
}

export class Holdings {
  readonly directories: MachineDirectories;
  readonly cgroup: Cgroup;
  readonly uid: number | undefined;
  #record: MachineRecord;
  /** The last change of the record. Never rejects. */
  #updated: Promise<void> = Promise.resolve();
  #returned: Promise<void> | undefined;
  readonly #host: HostResources;

  private constructor(host: HostResources, record: MachineRecord, cgroup: Cgroup) {
    this.#host = host;
    this.#record = record;
    this.cgroup = cgroup;
    this.uid = record.uid;
    this.directories = machineDirectories(host.directories, record.key);
  }

  static async create(
    host: HostResources,
    want: { shape: VmShape; memory: number; template: string },
  ): Promise<Holdings> {
    const directories = await createMachineDirectories(host.directories);
    const uid = host.users.take();
    let cgroup: Cgroup | undefined;
    try {
      cgroup = await host.cgroups.create(
        `${host.groupPrefix}${directories.key}`,
        machineLimits(want.shape, want.memory),
      );
      const record: MachineRecord = {
        version: 1,
        key: directories.key,
        phase: "starting",
        template: want.template,
        memory: want.memory,
        vcpus: want.shape.vcpus,
        ...(uid === undefined ? {} : { uid }),
        cgroups: [...cgroup.directories],
        cpuBaseMicros: 0,
        disks: [],
      };
      await writeRecord(directories.run, record);
      return new Holdings(host, record, cgroup);
    } catch (error) {
      await cgroup?.destroy();
      await removeMachineDirectories(directories);
      host.users.give(uid);
      throw error;
    }
  }

  /** For a machine of an earlier process. */
  static open(host: HostResources, record: MachineRecord): Holdings {
    host.users.reserve(record.uid);
    return new Holdings(host, record, host.cgroups.open(record.cgroups));
  }

  get record(): MachineRecord {
    return this.#record;
  }

  /**
   * Changes the record on disk, then here. Changes are made one after the other.
   * @param change what changes, or how to get it from the record as it then is
   */
  update(change: Partial<MachineRecord> | ((record: MachineRecord) => Partial<MachineRecord>)): Promise<void> {
    const done = this.#updated.then(async () => {
      const next = { ...this.#record, ...(typeof change === "function" ? change(this.#record) : change) };
      await writeRecord(this.directories.run, next);
      this.#record = next;
    });
    this.#updated = done.catch(() => undefined);
    return done;
  }

  /**
   * Ends what still runs and gives everything back. Idempotent; can be called again after it failed.
   * @throws CaissonError `internal` when a process cannot be killed
   */
  giveBack(): Promise<void> {
    this.#returned ??= this.#giveBack().catch((error: unknown) => {
      this.#returned = undefined;
      throw error;
    });
    return this.#returned;
  }

  async #giveBack(): Promise<void> {
    const { process, disks, uid } = this.#record;
    if (process !== undefined && !(await killProcess(process))) {
      throw new CaissonError("internal", `Process ${process.pid} of a sandbox cannot be killed.`);
    }
    await this.cgroup.destroy();
    if (uid !== undefined) await reclaimImages(disks.filter((disk) => !disk.readOnly).flatMap((disk) => disk.images));
    await removeMachineDirectories(this.directories);
    this.#host.users.give(uid);
  }
}
