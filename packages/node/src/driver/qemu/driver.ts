/** The driver for QEMU. */
import { createHash } from "node:crypto";
import { execFile } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { CaissonError } from "@caisson/protocol";
import { type BootOptions, type RestoreOptions, rootSerial, type Vm, type VmDriver, type VmShape } from "../driver.ts";
import { chooseAccelerator } from "./accelerator.ts";
import { createTemplateDisks, templateDisks } from "./blank-disks.ts";
import { kernelArguments, type MachineArguments, nodeName, qcow2Chain, qemuArguments } from "./command-line.ts";
import { killProcess } from "@caisson/linux";
import { findJails } from "./find-jails.ts";
import { resumeWhenRoom } from "./full-disk.ts";
import { launch, socketNames } from "./launch.ts";
import { Qmp } from "./qmp.ts";
import { QemuVm } from "./vm.ts";

const run = promisify(execFile);
/** Milliseconds until a monitor answers for the first time, new or adopted. On a host without a free processor that takes seconds. */
const greetingDeadlineMs = 15_000;

/** virtio-mem plugs blocks of 2 MiB (its default `block-size` with transparent huge pages), Linux guests take them one by one. */
const memoryGranularity = 2;

export function createQemuDriver(program = "/usr/bin/qemu-system-x86_64"): VmDriver {
  let version: Promise<string> | undefined;

  const start = async (options: BootOptions | RestoreOptions, mode: MachineArguments["mode"]): Promise<QemuVm> => {
    const { shape, place, template } = options;
    const kvm = shape.accelerator === "kvm";
    const group = kvm ? (await stat("/dev/kvm")).gid : undefined;
    const launched = await launch({
      place,
      base: options.base,
      ...("kernel" in options ? { boot: { kernel: options.kernel, initramfs: options.initramfs } } : {}),
      templateDirectory: template.directory,
      writesTemplate: mode.kind === "boot" || mode.saveable === true,
      kvm,
      onProcess: options.onProcess,
      ...(group === undefined ? {} : { kvmGroup: group }),
      command: (descriptors) => [
        program,
        ...qemuArguments({
          shape,
          cpu: processorModel(shape),
          root: qcow2Chain(nodeName(rootSerial, 0), options.root.chain, options.root),
          descriptors,
          ramFile: template.ram,
          mode,
        }),
      ],
    });
    try {
      const qmp = await Qmp.connect(join(place.runDirectory, socketNames.qmp), { deadlineMs: greetingDeadlineMs });
      resumeWhenRoom(qmp, place.disksDirectory);
      return new QemuVm({ ...sockets(place.runDirectory), ...launched, qmp, template });
    } catch (cause) {
      await killProcess(launched.process);
      throw new CaissonError("internal", `The virtual machine monitor did not start: ${launched.complaints().trim()}`, {
        cause,
      });
    }
  };

  return {
    name: "qemu",
    memoryGranularity,
    templateDisks,
    chooseAccelerator: (options) => chooseAccelerator({ ...options, program }),
    createTemplateDisks,
    identity: async (shape) => {
      version ??= run(program, ["--version"], { timeout: 10_000 }).then(({ stdout }) => stdout.split("\n")[0] ?? "");
      const parts = [await version, processorModel(shape), kernelArguments(shape.accelerator)];
      if (shape.accelerator === "kvm") parts.push(await hostProcessor());
      // The arguments themselves, so that a changed machine never meets a state saved from the old one.
      parts.push(JSON.stringify(qemuArguments(specimen(shape))));
      return createHash("sha256").update(parts.join("\n")).digest("hex");
    },
    boot: (options) => start(options, { kind: "boot", kernelArguments: kernelArguments(options.shape.accelerator) }),
    restore: async (options) => {
      const { saveable = false, disks = [] } = options;
      const vm = await start(options, { kind: "restore", saveable });
      try {
        // The saved state finds each device by its place, which is the next free one.
        for (const disk of disks) await vm.attachDisk(disk);
        await vm.load();
        return vm;
      } catch (error) {
        await vm.stop();
        throw error;
      }
    },
    findJails,
    adopt: async (place, identity): Promise<Vm> => {
      const qmp = await Qmp.connect(join(place.runDirectory, socketNames.qmp), { deadlineMs: greetingDeadlineMs });
      const status = (await qmp.execute("query-status")) as { status?: unknown };
      if (status.status === "shutdown" || status.status === "internal-error") {
        qmp.close();
        throw new CaissonError("gone", "The guest ended while no process of the node was running.");
      }
      resumeWhenRoom(qmp, place.disksDirectory);
      return new QemuVm({ ...sockets(place.runDirectory), process: identity, qmp, complaints: () => "" });
    },
  };
}

function sockets(directory: string): { controlSocket: string; egressSocket: string } {
  return { controlSocket: join(directory, socketNames.control), egressSocket: join(directory, socketNames.egress) };
}

/**
 * Emulation executes `rep movsb` byte by byte. Without the "fast string" features (erms, fsrm) guests copy by words instead:
 * measured, the output of a process came out four times faster.
 */
function processorModel(shape: VmShape): string {
  return shape.accelerator === "kvm" ? "host" : "max,-erms,-fsrm";
}

/** Under KVM the guest sees the host's processor, so a state belongs to one model. */
async function hostProcessor(): Promise<string> {
  const info = await readFile("/proc/cpuinfo", "latin1");
  return info
    .split("\n")
    .filter((line) => /^(model name|stepping|microcode|flags)\s/.test(line))
    .slice(0, 4)
    .join("\n");
}

function specimen(shape: VmShape): MachineArguments {
  return {
    shape,
    cpu: "",
    root: null,
    descriptors: { qmp: 0, control: 0, egress: 0 },
    ramFile: "",
    mode: { kind: "restore" },
  };
}
