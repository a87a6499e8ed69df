/**
 * What a guest has flushed survives `kill -9` of the machine, of the platform, and of both. In every round a program in a sandbox
 * appends checksummed records to a volume, each with fsync and announced afterwards; then something is killed at a random moment;
 * then the file system must check clean, with its journal replayed as by any mount, and a new sandbox must find every announced
 * record whole. `node bench/volumes/durability.ts [--rounds 50]`
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform, until } from "@caisson/testing";
import { report } from "../report.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "50" }, json: { type: "boolean" } } });
const rounds = Number(values.rounds);

const program = `
import hashlib, os, sys
path = "/data/records"
first = 0
if os.path.exists(path):
    with open(path, "rb") as file:
        lines = file.read().split(b"\\n")
    # Behind the last line break may be a part of a record that was never announced.
    for number, line in enumerate(lines[:-1]):
        index, digest, _ = line.split(b" ", 2)
        assert int(index) == number and hashlib.sha256(b"%d" % number).hexdigest().encode() == digest, f"record {number}: {line[:80]}"
    first = len(lines) - 1
print("found", first, flush=True)
if sys.argv[1] == "write":
    with open(path, "r+b" if os.path.exists(path) else "w+b") as file:
        file.seek(0 if first == 0 else sum(len(line) + 1 for line in lines[:-1]))
        file.truncate()
        while True:
            record = b"%d %s " % (first, hashlib.sha256(b"%d" % first).hexdigest().encode())
            file.write(record.ljust(1999, b".") + b"\\n")
            file.flush()
            os.fsync(file.fileno())
            first += 1
            print(first, flush=True)
`;

const home = await mkdtemp(join(tmpdir(), "csn-"));
const config = { pool: { size: 1 }, logLevel: "warn" };
let platform = await startPlatform({ home, config });
Object.assign(process.env, platform.env);
const { id } = await new Client().volumes.create({ slug: "records", region: "ord", capacity: "2GB" });
let announced = 0;
let rejected = 0;
const kills: Record<string, number> = { machine: 0, platform: 0, both: 0 };

/** Process ids of all machines of the platform, from the records that it keeps of them. */
function machinePids(): number[] {
  const directory = join(home, "run");
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name, "machine.json");
    const record = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as { process?: { pid: number } }) : {};
    return record.process === undefined ? [] : [record.process.pid];
  });
}

let checked = 0;

/** Checks a copy of the volume as the killed machine left it. @throws Error when e2fsck has to repair more than to replay the journal */
function checkFileSystem(): void {
  const layers = join(home, "volumes", "layers");
  const [image, ...others] = readdirSync(layers).filter((name) => name.endsWith(".qcow2"));
  if (image === undefined || others.length > 0) throw new Error("There should be one image.");
  const raw = join(home, "copy.raw");
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { stdio: "pipe", timeout: 120_000 });
  try {
    run("qemu-img", "convert", "-U", "-O", "raw", join(layers, image), raw);
    run("/usr/sbin/e2fsck", "-E", "journal_only", "-y", raw);
    run("/usr/sbin/e2fsck", "-f", "-n", raw);
    checked++;
  } finally {
    rmSync(raw, { force: true });
  }
}

/** Resolves when the volume is free again after whatever was killed. */
const mounted = () =>
  until(60_000, "the volume to be free again", async () => {
    try {
      return await Sandbox.create({ volumes: { "/data": id } });
    } catch (error) {
      if ((error as { status?: number }).status !== 409) throw error;
      rejected++;
      await sleep(200);
      return undefined;
    }
  });

async function found(sandbox: Sandbox): Promise<number> {
  const output = await sandbox.sh`python3 -c ${program} read`.text();
  return Number(/^found (\d+)$/m.exec(output)?.[1]);
}

try {
  for (let round = 0; round < rounds; round++) {
    const sandbox = await mounted();
    const child = await sandbox.spawn("python3", {
      args: ["-c", program, "write"],
      stdout: "piped",
      stderr: "inherit",
    });
    const reading = (async () => {
      let text = "";
      for await (const chunk of child.stdout!) {
        text += new TextDecoder().decode(chunk);
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        for (const line of lines) {
          const number = Number(/^(?:found )?(\d+)$/.exec(line)?.[1]);
          if (line.startsWith("found") && number < announced)
            throw new Error(`round ${round}: ${announced} records were announced, ${number} found`);
          announced = Math.max(announced, number);
        }
      }
    })().catch((error: unknown) => (String(error).includes("announced") ? Promise.reject(error as Error) : undefined));
    child.status.catch(() => undefined);
    // On a busy host the program takes a while to begin.
    const before = announced;
    await until(60_000, "the first records of this round", async () => announced > before + 10);
    await sleep(Math.random() * 1500);
    const target = (["machine", "platform", "both"] as const)[round % 3]!;
    kills[target]!++;
    if (target !== "platform") {
      for (const pid of machinePids()) process.kill(pid, "SIGKILL");
    }
    if (target !== "machine") {
      await platform.crash();
      platform = await startPlatform({ home, config });
      Object.assign(process.env, platform.env);
    }
    await Promise.race([reading, sleep(5000)]);
    // After the end of the platform alone, the machine goes on writing.
    if (target !== "platform") checkFileSystem();
    process.stderr.write(`\r${round + 1} of ${rounds}, ${announced} records`);
  }
  const last = await mounted();
  const total = await found(last);
  await last.kill();
  process.stderr.write("\n");
  if (total < announced) throw new Error(`${announced} records were announced, ${total} found`);
  await platform.stop(60_000);
  const check = execFileSync(
    process.execPath,
    [join(import.meta.dirname, "../../packages/platform/src/volumes.ts"), "check"],
    { env: { ...process.env, CAISSON_HOME: home }, encoding: "utf8" },
  );
  report({
    rounds,
    "machines killed": kills["machine"]!,
    "platforms killed": kills["platform"]!,
    "both killed": kills["both"]!,
    "records announced": announced,
    "records lost": 0,
    "file systems checked clean": checked,
    check: check.trim(),
    "tries while the volume was still held": rejected,
  });
} finally {
  await platform.stop().catch(() => undefined);
  await rm(home, { recursive: true, force: true });
}
