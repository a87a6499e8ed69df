/** Builds QEMU's arguments. Pure. They describe the whole machine that a guest can see. */
import { type DiskFile, type DiskSource, ownerRootSerial, rootSerial, type VmShape } from "../driver.ts";

/** Paths inside the jail. */
export const jailPaths = {
  base: "/image/base",
  kernel: "/image/kernel",
  initramfs: "/image/initramfs",
  template: "/template",
  disks: "/disks",
} as const;

/** Names of QEMU objects that commands refer to later. */
export const ids = {
  memory: "more0",
  scsi: "scsi",
  console: "console",
  ownerRoot: "owner-root",
  nothing: "nothing",
} as const;

export interface Descriptors {
  readonly qmp: number;
  readonly control: number;
  readonly egress: number;
}

export interface MachineArguments {
  readonly shape: VmShape;
  readonly cpu: string;
  readonly root: BlockDescription | null;
  readonly descriptors: Descriptors;
  readonly ramFile: string;
  /**
   * `boot`: with kernel, memory file shared so that it holds the template. `restore`: waits for the saved state; `saveable`: with the memory
   * file shared as well.
   */
  readonly mode:
    | { readonly kind: "boot"; readonly kernelArguments: string }
    | { readonly kind: "restore"; readonly saveable?: boolean };
}

/** A disk as `blockdev-add` takes it: QEMU's QAPI reference, BlockdevOptions. */
export type BlockDescription = Readonly<Record<string, unknown>>;

/** Bytes of console output that are kept. A ring: a guest that writes without end costs nothing more. */
const consoleBytes = 64 * 1024;

/** Translated guest code, MiB. QEMU's own default of 1 GiB would let one guest take that much of the host. */
export const translationCacheMebibytes = 256;

export function qemuArguments(options: MachineArguments): readonly string[] {
  const { shape, descriptors, mode } = options;
  const accelerator = shape.accelerator === "kvm" ? "kvm" : `tcg,thread=multi,tb-size=${translationCacheMebibytes}`;
  const args: string[][] = [
    [
      "-M",
      "q35,memory-backend=ram,hpet=off,usb=off,sata=off,smbus=off,vmport=off,graphics=off,i8042=off,dump-guest-core=off,mem-merge=off",
    ],
    ["-accel", accelerator],
    ["-cpu", options.cpu],
    ["-smp", String(shape.vcpus)],
    // No slots: memory that is plugged in comes as virtio-mem, and without slots the registers of ACPI do not exist.
    ["-m", `size=${shape.baseMemory}M,maxmem=${shape.baseMemory + shape.pluggableMemory + 1024}M`],
    ["-nodefaults", "-no-user-config", "-display", "none"],
    // QEMU stays after the guest has ended, so that we can ask for the reason; see the SHUTDOWN event.
    ["-action", "reboot=shutdown,shutdown=pause"],
    ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ["-rtc", "base=utc,clock=host"],
    ["-object", ramObject(options)],
    ["-chardev", `ringbuf,id=${ids.console},size=${consoleBytes}`, "-serial", `chardev:${ids.console}`],
    ["-chardev", `socket,id=qmp,fd=${descriptors.qmp},server=on,wait=off`, "-mon", "chardev=qmp,mode=control"],
    ["-chardev", `socket,id=control,fd=${descriptors.control},server=on,wait=off`],
    ["-chardev", `socket,id=egress,fd=${descriptors.egress},server=on,wait=off`],
    // Fixed slots: a saved state finds its devices by their place on the bus.
    ["-device", "virtio-serial-pci,id=ports,bus=pcie.0,addr=2,max_ports=4"],
    ["-device", "virtserialport,bus=ports.0,nr=1,chardev=control,name=caisson.control"],
    ["-device", "virtserialport,bus=ports.0,nr=2,chardev=egress,name=caisson.egress"],
    ["-blockdev", JSON.stringify(baseDisk())],
    ["-device", "virtio-blk-pci,bus=pcie.0,addr=3,drive=base,serial=base"],
    ["-blockdev", JSON.stringify(options.root)],
    ["-device", `virtio-blk-pci,bus=pcie.0,addr=4,drive=${nodeName(rootSerial, 0)},serial=${rootSerial}`],
    // Inserting an image costs the guest one interrupt; adding a disk would cost a scan of the bus.
    ["-blockdev", JSON.stringify({ driver: "null-co", "node-name": ids.nothing, size: 0 })],
    [
      "-device",
      `virtio-blk-pci,id=${ids.ownerRoot},bus=pcie.0,addr=7,drive=${ids.nothing},serial=${ownerRootSerial},num-queues=1`,
    ],
    ["-device", `virtio-scsi-pci,id=${ids.scsi},bus=pcie.0,addr=5,num_queues=1`],
    // Notifies the guest's kernel that it is a copy of another machine.
    ["-device", "vmgenid,guid=auto"],
  ];
  if (shape.pluggableMemory > 0) {
    // Huge pages, which shared memory does not get, do nothing for emulation: they only make each touched page cost 2 MiB.
    const share = shape.accelerator === "tcg" ? "on" : "off";
    args.push(["-object", `memory-backend-ram,id=more,size=${shape.pluggableMemory}M,reserve=off,share=${share}`]);
    args.push(["-device", `virtio-mem-pci,id=${ids.memory},bus=pcie.0,addr=6,memdev=more,requested-size=0`]);
  }
  if (mode.kind === "boot") {
    args.push(["-kernel", jailPaths.kernel, "-initrd", jailPaths.initramfs, "-append", mode.kernelArguments]);
  } else {
    // The saved state needs the boot loader's ROM. `-kernel` would add it, and with it 40 MB that a clone never reads.
    args.push(["-option-rom", "linuxboot_dma.bin", "-incoming", "defer", "-S"]);
  }
  return args.flat();
}

const commonKernelArguments =
  "console=ttyS0 quiet panic=-1 reboot=t random.trust_cpu=on memhp_default_state=online_movable " +
  // A sandbox's start consists of mounts, which wait for the kernel's grace periods.
  "rcupdate.rcu_expedited=1 " +
  // No policy is loaded for the other security modules, nothing reads audit records or pressure figures, and each would be asked
  // or written at every system call.
  "lsm=landlock,yama audit=0 psi=0 " +
  // A paused machine looks like one that hangs. Large pages are not needed; on an idle machine they only wake the processors.
  "nowatchdog tsc=reliable transparent_hugepage=madvise";

/**
 * Emulated processors do not speculate, so mitigations protect nothing and cost much. On a busy host they keep no time: a delay
 * loop cannot be calibrated, and the kernel's check that its timer ticks panics. Clearing each page before its use, a second line
 * of defence within one guest, takes a tenth of its time. The last is for the agent (`agent/internal/start/emulated.go`).
 */
const emulationKernelArguments = "mitigations=off lpj=4000000 no_timer_check init_on_alloc=0 CAISSON_EMULATED=1";

/** Kernel arguments; part of a template's identity. */
export function kernelArguments(accelerator: "kvm" | "tcg"): string {
  return accelerator === "tcg" ? `${commonKernelArguments} ${emulationKernelArguments}` : commonKernelArguments;
}

function ramObject({ shape, mode, ramFile }: MachineArguments): string {
  const file = `memory-backend-file,id=ram,size=${shape.baseMemory}M,mem-path=${jailPaths.template}/${ramFile}`;
  // A clone maps the file copy-on-write, and cannot write to it.
  return mode.kind === "boot" || mode.saveable === true ? `${file},share=on` : `${file},share=off,readonly=on,rom=off`;
}

function baseDisk(): BlockDescription {
  return {
    driver: "raw",
    "node-name": "base",
    "read-only": true,
    // Every machine reads the same file; nobody writes it.
    file: { driver: "file", filename: jailPaths.base, locking: "off", "read-only": true },
  };
}

/**
 * Describes a qcow2 image and everything below it, so that QEMU ignores the paths inside the images.
 * @param chain top first; empty: nothing
 */
export function qcow2Chain(
  nodeName: string | undefined,
  chain: readonly DiskFile[],
  options: Pick<DiskSource, "readOnly" | "durable">,
): BlockDescription | null {
  const [top, ...below] = chain;
  if (top === undefined) return null;
  const { readOnly } = options;
  // "no-flush" still hands every write to the host's page cache: a killed monitor loses nothing, a host without power does.
  const cache = { "no-flush": !options.durable, direct: false };
  return {
    driver: "qcow2",
    ...(nodeName === undefined ? {} : { "node-name": nodeName }),
    "read-only": readOnly,
    cache,
    ...(readOnly ? {} : { discard: "unmap" }),
    file: {
      driver: "file",
      filename: `${top.place === "disks" ? jailPaths.disks : jailPaths.template}/${top.name}`,
      "read-only": readOnly,
      cache,
      // Images below the top are shared between machines, and nobody writes them.
      // An image that gets an overlay laid over it is no longer opened for writing: it is sealed, and may not be.
      ...(readOnly ? { locking: "off" } : { discard: "unmap", "auto-read-only": true }),
    },
    backing: qcow2Chain(undefined, below, { ...options, readOnly: true }),
  };
}

/** A file of the platform that many machines read and nobody writes. */
export function rawImage(nodeName: string, fileName: string): BlockDescription {
  return {
    driver: "raw",
    "node-name": nodeName,
    "read-only": true,
    file: { driver: "file", filename: `${jailPaths.disks}/${fileName}`, locking: "off", "read-only": true },
  };
}

/** Names of block nodes contain the number of the overlay, so that QEMU itself remembers which overlay a disk writes to. */
export function nodeName(serial: string, generation: number): string {
  return `disk-${serial}-${generation}`;
}

/** The reverse of `nodeName`. */
export function parseNodeName(name: string): { serial: string; generation: number } | undefined {
  const match = /^disk-(.+)-(\d{1,6})$/.exec(name);
  return match?.[1] === undefined ? undefined : { serial: match[1], generation: Number(match[2]) };
}
