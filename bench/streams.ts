/**
 * Bulk bytes through the official client, against the bare virtio-serial port of the same host in the same run.
 * `node bench/streams.ts [--mib 1024] [--json]`
 *
 * The port is measured twice: with the processor that Caisson gives to emulated machines, and with QEMU's own, which copies memory
 * several times slower. Client, server, QEMU and guest share the host: the processor time of each says how far the result can go.
 */
import "./plain-client.ts";
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { processCounters, startPlatform } from "@caisson/testing";
import { processorTime, type ProcessorTime } from "./processor-time.ts";
import { rawPortSpeed } from "./raw-port.ts";
import { megabytesASecond, report } from "./report.ts";

const { values } = parseArgs({ options: { mib: { type: "string", default: "1024" }, json: { type: "boolean" } } });
const bytes = Number(values.mib) * 2 ** 20;

const raw = await rawPortSpeed(bytes);
const plain = await rawPortSpeed(bytes, "max");
delete process.env["WS_NO_BUFFER_UTIL"];
const platform = await startPlatform({ config: { pool: { size: 0 } } });
Object.assign(process.env, platform.env);

/** Largest growth of the server's resident memory while `work` runs, bytes. */
async function growth(work: () => Promise<void>): Promise<number> {
  // Resets the peak, see proc(5).
  writeFileSync(`/proc/${platform.pid}/clear_refs`, "5");
  const before = processCounters(platform.pid).residentBytes;
  await work();
  return processCounters(platform.pid).peakResidentBytes - before;
}

async function measure(name: string, direction: "out" | "in", work: () => Promise<number>): Promise<void> {
  let milliseconds = 0;
  let moved = 0;
  const before = processorTime(platform.pid);
  const grown = await growth(async () => {
    const start = performance.now();
    moved = await work();
    milliseconds = performance.now() - start;
  });
  const spent = processorTime(platform.pid);
  if (moved !== bytes) throw new Error(`${name}: ${moved} bytes instead of ${bytes}`);
  const rate = megabytesASecond(bytes, milliseconds);
  report({
    [`${name}, MB/s`]: rate,
    [`${name}, part of the raw port`]: (rate * 1e6) / raw[direction],
    [`${name}, part of the raw port with QEMU's processor`]: (rate * 1e6) / plain[direction],
    ...Object.fromEntries(
      Object.entries(spent).map(([who, time]) => [
        `${name}, processor time of the ${who}, ms/MB`,
        (time - before[who as keyof ProcessorTime]) / (bytes / 1e6),
      ]),
    ),
    [`${name}, server grew by MB`]: grown / 1e6,
  });
}

async function count(stream: ReadableStream<Uint8Array>): Promise<number> {
  let seen = 0;
  for await (const chunk of stream) seen += chunk.length;
  return seen;
}

function zeros(): ReadableStream<Uint8Array<ArrayBuffer>> {
  let left = bytes;
  return new ReadableStream({
    pull(controller) {
      if (left === 0) return controller.close();
      const size = Math.min(left, 65_536);
      left -= size;
      controller.enqueue(new Uint8Array(size));
    },
  });
}

try {
  report({
    processors: readFileSync("/proc/cpuinfo", "utf8").match(/^processor/gm)?.length ?? 0,
    "MiB each way": Number(values.mib),
  });
  report({ "raw port out, MB/s": raw.out / 1e6, "raw port in, MB/s": raw.in / 1e6 });
  report({
    "raw port out with QEMU's processor, MB/s": plain.out / 1e6,
    "raw port in with QEMU's processor, MB/s": plain.in / 1e6,
  });
  const sandbox = await Sandbox.create({ timeout: "30m", memory: "2GiB" });
  await measure("standard output", "out", async () => {
    // Writes as much at a time as the pipe takes: `head` would cost the guest more than what carries its output.
    const args = ["if=/dev/zero", "bs=1M", `count=${values.mib}`, "status=none"];
    const child = await sandbox.spawn("dd", { args, stdout: "piped" });
    return count(child.stdout!);
  });
  await measure("standard input", "in", async () => {
    const child = await sandbox.spawn("wc", { args: ["-c"], stdin: "piped", stdout: "piped" });
    await zeros().pipeTo(child.stdin!);
    return Number((await child.output()).stdoutText);
  });
  await measure("file in", "in", async () => {
    await sandbox.fs.writeFile("/home/app/large", zeros());
    return (await sandbox.fs.stat("/home/app/large")).size;
  });
  await measure("file out, by cat", "out", async () => {
    const child = await sandbox.spawn("cat", { args: ["/home/app/large"], stdout: "piped" });
    return count(child.stdout!);
  });
  await measure("file out, by handle", "out", async () => count((await sandbox.fs.open("/home/app/large")).readable));
  await sandbox.kill();
} finally {
  await platform.stop();
}
