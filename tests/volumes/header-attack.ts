/**
 * A monitor that a guest has taken over, as far as its disks go: a process with the uid and namespaces of a monitor and a writable
 * descriptor of an image that was sealed after it was opened. It watches the image, and at a moment that the test chooses it writes a
 * header that names a file of the host, for a short while. It has no seccomp filter, so it can do more than a real one.
 */
import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, link, mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { jailBase, jailEnd } from "@caisson/linux";

export const canaryText = "CAISSON-CANARY-OF-ROOT\n";

/** What the header names: a raw backing file by path, the same by an inner description, or an external data file. */
export const lures = ["path", "json", "data-file"] as const;
export type Lure = (typeof lures)[number];

export interface Moment {
  readonly lure: Lure;
  /** After how many closes of the image by others. */
  readonly closes: number;
  /** Microseconds from then on, and for how long. */
  readonly delay: number;
  readonly hold: number;
}

/** A file that only root can read, with the canary in every cluster. */
export async function createCanary(directory: string): Promise<string> {
  const path = join(directory, "secret.key");
  await writeFile(path, canaryText.repeat(Math.ceil((8 * 2 ** 20) / canaryText.length)), { mode: 0o600 });
  return path;
}

/** Whether a file has the canary in it. */
export function hasCanary(path: string): boolean {
  try {
    execFileSync("grep", ["--quiet", "--text", "--fixed-strings", canaryText.trim(), path]);
    return true;
  } catch (error) {
    if ((error as { status?: number }).status === 1) return false;
    throw error;
  }
}

/** Descriptor 3 is the image. Reads one line for each attack, writes "open" first and "done" after each. */
const script = String.raw`
use Time::HiRes qw(usleep);
$| = 1;
open(IMAGE, "+<&=", 3) or die $!;
binmode IMAGE;
$fd = syscall(294, 0x800);
$path = "/disks/data.0";
die "watch: $!" if syscall(254, $fd, $path, 0x18) < 0;
sub put { sysseek(IMAGE, 0, 0); syswrite(IMAGE, $_[0]); }
print "open\n";
while (<STDIN>) {
  ($closes, $delay, $hold, $evil, $good) = split;
  ($evil, $good) = (pack("H*", $evil), pack("H*", $good));
  $buffer = chr(0) x 65536;
  syscall(0, $fd, $buffer, 65536);
  $seen = 0;
  $end = Time::HiRes::time() + 2;
  while ($seen < $closes && Time::HiRes::time() < $end) {
    $bits = ""; vec($bits, $fd, 1) = 1;
    next unless select($bits, undef, undef, 0.02) > 0;
    $n = syscall(0, $fd, $buffer, 65536);
    for ($at = 0; $at < $n; $at += 16 + $length) { $length = unpack("L", substr($buffer, $at + 12, 4)); $seen++; }
  }
  usleep($delay);
  put($evil);
  usleep($hold);
  put($good);
  print "done\n";
}
`;

export class HeaderAttacker {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #canary: string;
  readonly #good: Buffer;

  private constructor(
    child: ChildProcessByStdio<Writable, Readable, null>,
    lines: Interface,
    canary: string,
    good: Buffer,
  ) {
    this.#child = child;
    this.#lines = lines;
    this.#canary = canary;
    this.#good = good;
  }

  /** @param image gets opened for writing now @param directory for the disk directory of the monitor */
  static async start(image: string, canary: string, directory: string): Promise<HeaderAttacker> {
    const disks = join(directory, "disks");
    await mkdir(disks, { recursive: true });
    await link(image, join(disks, "data.0"));
    await chmod(image, ((await stat(image)).mode & 0o777) | 0o444);
    const good = (await readFile(image)).subarray(0, 4096);
    const handle = await open(image, "r+");
    const uid = process.getuid?.() === 0 ? 1_900_000_001 : undefined;
    const perl = "/usr/bin/perl";
    const base = jailBase(perl, { readOnly: ["/usr/share/perl"], directories: ["/usr/share"], endsWithUs: true });
    const [program, ...args] = [
      ...base,
      "--dev",
      "/dev",
      "--bind",
      disks,
      "/disks",
      ...jailEnd(uid),
      perl,
      "-e",
      script,
    ];
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit", handle.fd] });
    await handle.close();
    const lines = createInterface({ input: child.stdout! });
    await Promise.race([
      once(lines, "line"),
      once(child, "exit").then(() => {
        throw new Error("The attacker did not start.");
      }),
    ]);
    return new HeaderAttacker(child as ChildProcessByStdio<Writable, Readable, null>, lines, canary, good);
  }

  /** Attacks while `victim` runs. Resolves when both have ended. @returns what the victim returned; undefined when it failed */
  async attack<T>(moment: Moment, victim: () => Promise<T>): Promise<T | undefined> {
    const evil = lured(this.#good, moment.lure, this.#canary);
    const done = once(this.#lines, "line");
    const { closes, delay, hold } = moment;
    this.#child.stdin.write(`${closes} ${delay} ${hold} ${evil.toString("hex")} ${this.#good.toString("hex")}\n`);
    const [result] = await Promise.all([victim().catch(() => undefined), done]);
    return result;
  }

  async end(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }
}

/** The first 4 KiB of an image with another backing file or data file. QEMU's docs/interop/qcow2.rst. */
function lured(good: Buffer, lure: Lure, canary: string): Buffer {
  const header = Buffer.from(good);
  const extensions = 112;
  header.fill(0, extensions);
  header.writeUInt32BE(extensions, 100);
  const extension = (type: number, text: string) => {
    header.writeUInt32BE(type, extensions);
    header.writeUInt32BE(text.length, extensions + 4);
    header.write(text, extensions + 8, "latin1");
  };
  if (lure === "data-file") {
    header.writeBigUInt64BE(header.readBigUInt64BE(72) | 4n, 72);
    header.writeBigUInt64BE(header.readBigUInt64BE(88) | 2n, 88);
    extension(0x44415441, canary);
    header.writeBigUInt64BE(0n, 8);
    header.writeUInt32BE(0, 16);
    return header;
  }
  const inner = { driver: "raw", file: { driver: "file", filename: canary } };
  const name = lure === "path" ? canary : `json:${JSON.stringify(inner)}`;
  extension(0xe2792aca, "raw");
  header.writeBigUInt64BE(1024n, 8);
  header.writeUInt32BE(name.length, 16);
  header.write(name, 1024, "latin1");
  return header;
}

/** Moments all over the work of a tool, the same in every run. */
export function momentOf(attempt: number): Moment {
  return {
    lure: lures[attempt % lures.length]!,
    closes: [2, 1, 3, 2, 4][attempt % 5]!,
    delay: [0, 0, 300, 2_000, 8_000, 20_000, 40_000][Math.floor(attempt / 5) % 7]!,
    hold: [400_000, 100_000, 20_000][Math.floor(attempt / 35) % 3]!,
  };
}
