/** What a sandbox would cost without templates: plain QEMU boots the same kernel, agent and image up to the first command. */
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { connectAgent } from "@caisson/node";

const run = promisify(execFile);
const deadlineMs = 60_000;

interface Image {
  readonly base: string;
  readonly kernel: string;
  readonly initramfs: string;
}

export async function currentImage(): Promise<Image> {
  const cache =
    process.env["CAISSON_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "caisson");
  return JSON.parse(await readFile(join(cache, "images/current.json"), "utf8")) as Image;
}

/** Milliseconds from the start of QEMU to the exit status of `/bin/true` in the guest. */
export async function coldBoot(image: Image, accelerator: "kvm" | "tcg", memory = 1280): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), "csn-cold-"));
  const disk = join(directory, "root.qcow2");
  await run("mke2fs", [
    "-q",
    "-t",
    "ext4",
    "-E",
    "lazy_itable_init=1,lazy_journal_init=1",
    join(directory, "raw"),
    "10G",
  ]);
  await run("qemu-img", ["convert", "-O", "qcow2", join(directory, "raw"), disk]);
  const socket = join(directory, "control.sock");
  const started = performance.now();
  const qemu = spawn("qemu-system-x86_64", plainArguments(image, accelerator, memory, disk, socket), {
    stdio: "ignore",
  });
  const exited = once(qemu, "exit");
  try {
    const agent = connectAgent(socket);
    try {
      await agent.ready(deadlineMs);
      const clockUnixNanos = BigInt(Date.now()) * 1_000_000n;
      await agent.machine.personalize({
        entropy: randomBytes(256),
        clockUnixNanos,
        machineId: randomBytes(16).toString("hex"),
        rootSerial: "root",
      });
      await agent.machine.configure({ hostname: "cold", clockUnixNanos, env: {} });
      const { pid } = await agent.processes.spawn({ command: "/bin/true" });
      await agent.processes.wait({ pid });
      return performance.now() - started;
    } finally {
      agent.end();
    }
  } finally {
    qemu.kill("SIGKILL");
    await exited;
    await rm(directory, { recursive: true, force: true });
  }
}

function plainArguments(
  image: Image,
  accelerator: "kvm" | "tcg",
  memory: number,
  disk: string,
  socket: string,
): string[] {
  return [
    ...[
      "-M",
      "q35",
      "-accel",
      accelerator === "kvm" ? "kvm" : "tcg,thread=multi",
      "-cpu",
      "max",
      "-smp",
      "2",
      "-m",
      `${memory}M`,
    ],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-chardev", `socket,id=control,path=${socket},server=on,wait=off`],
    ...["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=control,name=caisson.control"],
    ...["-chardev", "null,id=egress", "-device", "virtserialport,chardev=egress,name=caisson.egress"],
    ...[
      "-drive",
      `if=none,id=base,file=${image.base},format=raw,readonly=on`,
      "-device",
      "virtio-blk-pci,drive=base,serial=base",
    ],
    ...["-drive", `if=none,id=root,file=${disk},format=qcow2`, "-device", "virtio-blk-pci,drive=root,serial=root"],
    ...["-kernel", image.kernel, "-initrd", image.initramfs],
    ...[
      "-append",
      `console=ttyS0 panic=-1 quiet random.trust_cpu=on${accelerator === "tcg" ? " mitigations=off lpj=4000000" : ""}`,
    ],
  ];
}
