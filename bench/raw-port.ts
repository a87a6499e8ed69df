/** How fast a virtio-serial port is on this host, measured in a machine of its own with nothing else in it. */
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { until, within } from "@caisson/testing";

const execute = promisify(execFile);

export interface PortSpeed {
  /** Bytes a second, guest to host and host to guest. */
  readonly out: number;
  readonly in: number;
}

/** What Caisson gives to emulated machines, see the QEMU driver; `max` alone is what QEMU would. */
export const processorModel = "max,-erms,-fsrm";

/**
 * @param bytes to move in each direction
 * @param model of the processor where it is emulated
 */
export async function rawPortSpeed(bytes: number, model = processorModel): Promise<PortSpeed> {
  const directory = await mkdtemp(join(tmpdir(), "csn-raw-"));
  const cache =
    process.env["CAISSON_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "caisson");
  const image = JSON.parse(await readFile(join(cache, "images/current.json"), "utf8")) as {
    kernel: string;
    initramfs: string;
  };
  const probe = JSON.parse(await readFile(join(cache, "probe.json"), "utf8").catch(() => "{}")) as {
    accelerator?: string;
  };
  const init = join(directory, "init");
  await execute("go", ["build", "-o", init, "."], {
    cwd: join(import.meta.dirname, "raw-port"),
    env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-trimpath", GOWORK: "off" },
  });
  // The kernel unpacks archives one after the other, and a later file replaces an earlier one of the same name.
  await writeFile(
    join(directory, "initramfs"),
    Buffer.concat([await readFile(image.initramfs), archive("init", await readFile(init))]),
  );
  const path = join(directory, "port");
  const accelerator = probe.accelerator === "kvm" ? "kvm" : "tcg,thread=multi";
  const processor = probe.accelerator === "kvm" ? "host" : model;
  const machine = spawn(
    "qemu-system-x86_64",
    [
      `-M q35 -accel ${accelerator} -cpu ${processor} -smp 2 -m 768 -nodefaults -no-user-config -display none -no-reboot`.split(
        " ",
      ),
      [
        "-kernel",
        image.kernel,
        "-initrd",
        join(directory, "initramfs"),
        "-serial",
        `file:${join(directory, "console")}`,
      ],
      ["-append", "console=ttyS0 panic=-1 reboot=t quiet mitigations=off lpj=4000000"],
      ["-chardev", `socket,id=port,path=${path},server=on,wait=off`],
      ["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=port,name=caisson.raw"],
    ].flat(),
    { stdio: "inherit" },
  );
  let socket: Socket | undefined;
  try {
    socket = await until(20_000, "the machine's port", () => dial(path));
    return { out: await receive(socket, bytes), in: await send(socket, bytes) };
  } catch (error) {
    throw new Error(`${String(error)}\n${await readFile(join(directory, "console"), "utf8").catch(() => "")}`, {
      cause: error,
    });
  } finally {
    socket?.destroy();
    machine.kill("SIGKILL");
    await rm(directory, { recursive: true, force: true });
  }
}

function dial(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path, () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

function request(kind: "r" | "w", bytes: number): Buffer {
  const buffer = Buffer.alloc(9);
  buffer.write(kind);
  buffer.writeBigUInt64BE(BigInt(bytes), 1);
  return buffer;
}

async function receive(socket: Socket, bytes: number): Promise<number> {
  let seen = 0;
  let first = 0;
  const done = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      first ||= performance.now();
      seen += chunk.length;
      if (seen >= bytes) resolve();
    });
  });
  socket.write(request("w", bytes));
  await within(300_000, "the guest's bytes", done);
  socket.removeAllListeners("data");
  return (bytes / (performance.now() - first)) * 1000;
}

async function send(socket: Socket, bytes: number): Promise<number> {
  const chunk = Buffer.alloc(64 << 10);
  const answer = new Promise<void>((resolve) => socket.once("data", () => resolve()));
  socket.write(request("r", bytes));
  const start = performance.now();
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    if (!socket.write(chunk.subarray(0, Math.min(chunk.length, bytes - sent)))) {
      await new Promise<void>((resolve) => socket.once("drain", resolve));
    }
  }
  await within(300_000, "the guest's answer", answer);
  return (bytes / (performance.now() - start)) * 1000;
}

/** A newc cpio archive with one executable file. */
function archive(name: string, content: Buffer): Buffer {
  const entry = (path: string, mode: number, data: Buffer): Buffer => {
    const fields = [1, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, path.length + 1, 0];
    const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${path}\0`);
    return Buffer.concat([pad(header), pad(data)]);
  };
  return Buffer.concat([entry(name, 0o100755, content), entry("TRAILER!!!", 0, Buffer.alloc(0))]);
}

function pad(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
}
