/** One running QEMU: commands, events, and its end. */
import { setTimeout as sleep } from "node:timers/promises";
import { CaissonError } from "@caisson/protocol";
import { isAlive, killProcess, type ProcessIdentity } from "@caisson/linux";
import {
  type DiskFile,
  type DiskSource,
  ownerRootSerial,
  type TemplateFiles,
  type Vm,
  type VmExit,
} from "../driver.ts";
import {
  type BlockDescription,
  ids,
  jailPaths,
  nodeName,
  parseNodeName,
  qcow2Chain,
  rawImage,
} from "./command-line.ts";
import { isStalled } from "./full-disk.ts";
import { migrate } from "./migration.ts";
import type { Qmp } from "./qmp.ts";

const quitDeadlineMs = 1500;
/** Between attempts to kill a monitor that the kernel does not let go, for example because it waits for a broken disk. */
const killAgainMs = 1000;

export interface QemuVmOptions {
  readonly process: ProcessIdentity;
  readonly qmp: Qmp;
  readonly controlSocket: string;
  readonly egressSocket: string;
  readonly complaints: () => string;
  readonly template?: TemplateFiles;
}

export class QemuVm implements Vm {
  readonly process: ProcessIdentity;
  readonly controlSocket: string;
  readonly egressSocket: string;
  readonly exited: Promise<VmExit>;
  readonly #options: QemuVmOptions;
  readonly #qmp: Qmp;
  #ending: VmExit | undefined;
  #released = false;

  constructor(options: QemuVmOptions) {
    this.#options = options;
    this.#qmp = options.qmp;
    this.process = options.process;
    this.controlSocket = options.controlSocket;
    this.egressSocket = options.egressSocket;
    this.#qmp.onEvent(({ name, data }) => {
      const { reason } = data;
      if (name === "SHUTDOWN") void this.#guestEnded(typeof reason === "string" ? reason : "unknown");
    });
    this.exited = this.#watch();
  }

  onResume(listener: () => void): void {
    this.#qmp.onEvent(({ name }) => {
      if (name === "RESUME") listener();
    });
  }

  async pause(): Promise<void> {
    await this.#qmp.execute("stop");
  }

  async resume(): Promise<void> {
    await this.#qmp.execute("cont");
  }

  async plugMemory(mebibytes: number): Promise<void> {
    await this.#qmp.execute("qom-set", { path: ids.memory, property: "requested-size", value: mebibytes * 2 ** 20 });
  }

  async insertOwnerRoot(disk: DiskSource, bytes: number): Promise<void> {
    const node = nodeName(ownerRootSerial, 0);
    // Sent at once and carried out in this order; when one fails, so do those that follow, and the first failure is thrown.
    await Promise.all([
      this.#qmp.execute("blockdev-add", qcow2Chain(node, disk.chain, disk) ?? {}),
      this.#qmp.execute("qom-set", { path: ids.ownerRoot, property: "drive", value: node }),
      // Does not change the image, but notifies the guest of the size.
      this.#qmp.execute("block_resize", { "node-name": node, size: bytes }),
    ]);
  }

  async removeOwnerRoot(): Promise<void> {
    const node = nodeName(ownerRootSerial, 0);
    await this.#qmp.execute("block_resize", { "node-name": node, size: 0 });
    await this.#qmp.execute("qom-set", { path: ids.ownerRoot, property: "drive", value: ids.nothing });
    await this.#qmp.execute("blockdev-del", { "node-name": node });
  }

  async attachDisk(disk: DiskSource): Promise<void> {
    const node = nodeName(disk.serial, 0);
    await this.#plugDisk(disk.serial, node, qcow2Chain(node, disk.chain, disk) ?? {});
  }

  async attachImage(serial: string, fileName: string): Promise<void> {
    const node = nodeName(serial, 0);
    await this.#plugDisk(serial, node, rawImage(node, fileName));
  }

  async #plugDisk(serial: string, node: string, description: BlockDescription): Promise<void> {
    await this.#qmp.execute("blockdev-add", description);
    try {
      const device = {
        driver: "scsi-hd",
        id: `disk-${serial}`,
        bus: `${ids.scsi}.0`,
        drive: node,
        serial,
        // A full host stops the machine, see `resumeWhenRoom`; the guest does not notice.
        werror: "enospc",
      };
      await this.#qmp.execute("device_add", device);
    } catch (error) {
      await this.#qmp.execute("blockdev-del", { "node-name": node }).catch(() => undefined);
      throw error;
    }
  }

  async overlayDisk(serial: string, generation: number, overlay: DiskFile, durable: boolean): Promise<void> {
    const node = (await this.diskGenerations()).get(serial);
    if (node === undefined) throw new CaissonError("not_found", `The sandbox has no disk "${serial}".`);
    const name = nodeName(serial, generation);
    await this.#qmp.execute("blockdev-add", qcow2Chain(name, [overlay], { readOnly: false, durable }) ?? {});
    try {
      await this.#qmp.execute("blockdev-snapshot", { node: nodeName(serial, node), overlay: name });
    } catch (error) {
      await this.discardOverlay(serial, generation);
      throw error;
    }
  }

  async discardOverlay(serial: string, generation: number): Promise<void> {
    // It fails when there is none, or when the disk writes to it.
    await this.#qmp.execute("blockdev-del", { "node-name": nodeName(serial, generation) }).catch(() => undefined);
  }

  async diskGenerations(): Promise<ReadonlyMap<string, number>> {
    const devices = (await this.#qmp.execute("query-block")) as readonly { inserted?: { "node-name"?: unknown } }[];
    const found = new Map<string, number>();
    for (const device of devices) {
      const name = parseNodeName(String(device.inserted?.["node-name"]));
      if (name !== undefined) found.set(name.serial, name.generation);
    }
    return found;
  }

  async detachDisk(serial: string): Promise<void> {
    const device = `disk-${serial}`;
    const gone = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        unsubscribe();
        reject(new CaissonError("timeout", "The sandbox did not release the disk. Unmount it first."));
      }, 10_000);
      const unsubscribe = this.#qmp.onEvent(({ name, data }) => {
        if (name !== "DEVICE_DELETED" || data["device"] !== device) return;
        clearTimeout(timer);
        unsubscribe();
        resolve();
      });
    });
    gone.catch(() => undefined);
    const generation = (await this.diskGenerations()).get(serial);
    await this.#qmp.execute("device_del", { id: device });
    await gone;
    if (generation !== undefined)
      await this.#qmp.execute("blockdev-del", { "node-name": nodeName(serial, generation) });
  }

  /** Takes the template's state. */
  async load(): Promise<void> {
    const { template } = this.#options;
    if (template === undefined)
      throw new CaissonError("invalid_state", "This machine was not started from a template.");
    await migrate(this.#qmp, "migrate-incoming", `${jailPaths.template}/${template.state}`);
  }

  async save(): Promise<void> {
    const { template } = this.#options;
    if (template === undefined)
      throw new CaissonError("invalid_state", "Only a machine that was booted for a template can be saved.");
    await migrate(this.#qmp, "migrate", `${jailPaths.template}/${template.state}`);
  }

  async console(): Promise<string> {
    const text = await this.#qmp.execute(
      "ringbuf-read",
      { device: ids.console, size: 64 * 1024 },
      { deadlineMs: 2000 },
    );
    // Written by the guest: nothing in it may steer a terminal.
    return typeof text === "string" ? text.replaceAll(/[^\n\x20-\x7e]/g, "") : "";
  }

  stalled(): Promise<boolean> {
    return isStalled(this.#qmp);
  }

  async stop(why: VmExit = { reason: "stopped", detail: "ended by the platform" }): Promise<void> {
    this.#ending ??= why;
    await this.#end();
  }

  release(): void {
    this.#released = true;
    this.#qmp.close();
  }

  async #guestEnded(reason: string): Promise<void> {
    // Either the guest shut itself down, or its kernel panicked.
    const stopped = reason === "guest-shutdown";
    const last = stopped ? "" : await this.console().catch(() => "");
    const tail = last.trim().split("\n").slice(-5).join(" | ").slice(-600);
    this.#ending ??= {
      reason: stopped ? "stopped" : "crashed",
      detail: `the guest ended (${reason})${tail === "" ? "" : `: ${tail}`}`,
    };
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#qmp.execute("quit", {}, { deadlineMs: quitDeadlineMs }).catch(() => undefined);
    await Promise.race([this.#qmp.closed, sleep(quitDeadlineMs, undefined, { ref: false })]);
    await this.#disappear();
  }

  /** The monitor's connection ends with the monitor; a monitor that closes it in any other way is not trusted and is killed. */
  async #watch(): Promise<VmExit> {
    await this.#qmp.closed;
    if (this.#released) return new Promise(() => undefined);
    // Never rejects: callers wait for the end, also when the kernel needs long to kill the process.
    while (
      !(await this.#disappear().then(
        () => true,
        () => false,
      ))
    )
      await sleep(killAgainMs, undefined, { ref: false });
    const said = this.#options.complaints().trim();
    if (this.#qmp.flooded) this.#ending ??= { reason: "evicted", detail: "The guest floods the monitor with events." };
    return (
      this.#ending ?? {
        reason: "crashed",
        detail: `the virtual machine monitor crashed${said === "" ? "" : `: ${said}`}`,
      }
    );
  }

  async #disappear(): Promise<void> {
    for (let pause = 1; pause < 64; pause *= 2) {
      if (!(await isAlive(this.process))) return;
      await sleep(pause);
    }
    if (!(await killProcess(this.process))) {
      throw new CaissonError("internal", `Process ${this.process.pid} of a virtual machine cannot be killed.`);
    }
  }
}
