/** Finds out which accelerator works on this host. Opening /dev/kvm is not enough: on some hosts KVM cannot run a stock kernel. */
import { createHash } from "node:crypto";
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { CaissonError } from "@caisson/protocol";
import { z } from "zod";
import { readBootId } from "@caisson/linux";
import type { Accelerator, AcceleratorOptions } from "../driver.ts";
import { probeKvm } from "./probe.ts";

const verdictSchema = z.strictObject({ host: z.string(), accelerator: z.enum(["kvm", "tcg"]), reason: z.string() });
type Verdict = z.infer<typeof verdictSchema>;

export interface QemuAcceleratorOptions extends AcceleratorOptions {
  /** Path of QEMU. */
  readonly program: string;
}

/**
 * Returns the accelerator to use. The probe runs once per boot of the host.
 * @throws CaissonError `unsupported` when the configuration insists on KVM and it does not work
 */
export async function chooseAccelerator(options: QemuAcceleratorOptions): Promise<Accelerator> {
  const { wanted, log } = options;
  if (wanted === "tcg") return "tcg";
  const verdict = await remembered(options);
  if (verdict.accelerator === "kvm") return "kvm";
  if (wanted === "kvm") {
    throw new CaissonError(
      "unsupported",
      `The configuration requires KVM, but KVM does not work on this host: ${verdict.reason}. Set "accelerator" to "auto".`,
    );
  }
  log.warn(
    { reason: verdict.reason },
    "KVM does not work on this host; sandboxes run in software emulation, several times slower",
  );
  return "tcg";
}

async function remembered(options: QemuAcceleratorOptions): Promise<Verdict> {
  const path = join(options.cache, "probe.json");
  const host = await hostIdentity(options.program);
  try {
    const known = verdictSchema.parse(JSON.parse(await readFile(path, "utf8")));
    if (known.host === host) return known;
  } catch {
    // Not probed yet, or probed by another version.
  }
  const verdict = { host, ...(await probe(options)) };
  await mkdir(dirname(path), { recursive: true });
  const next = `${path}.${process.pid}.new`;
  await writeFile(next, `${JSON.stringify(verdict)}\n`);
  await rename(next, path);
  return verdict;
}

async function probe(options: QemuAcceleratorOptions): Promise<Omit<Verdict, "host">> {
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return { accelerator: "tcg", reason: "/dev/kvm is missing or not accessible to this user" };
  }
  const started = performance.now();
  const result = await probeKvm(options);
  options.log.debug({ ms: Math.round(performance.now() - started), result }, "probed KVM");
  return result.works
    ? { accelerator: "kvm", reason: "a test guest started" }
    : { accelerator: "tcg", reason: result.reason };
}

/** Changes whenever a new probe may give another result: boot, kernel, processor, QEMU. */
async function hostIdentity(program: string): Promise<string> {
  const [boot, processor, version] = await Promise.all([
    readBootId(),
    readFile("/proc/cpuinfo", "latin1"),
    promisify(execFile)(program, ["--version"], { timeout: 10_000 }),
  ]);
  const model = processor
    .split("\n")
    .filter((line) => /^(model name|flags)\s/.test(line))
    .slice(0, 2);
  return createHash("sha256")
    .update([boot, release(), ...model, version.stdout].join("\n"))
    .digest("hex");
}
