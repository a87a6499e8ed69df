/** Boots a machine once, waits until its agent does, and saves it. */
import { chmod, chown, copyFile, mkdir, open, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { agentContract, CaissonError } from "@caisson/protocol";
import { connectAgent } from "../agent/client.ts";
import type { Cgroups } from "../cgroup/cgroup.ts";
import type { TemplateFiles, Vm, VmDriver } from "../driver/driver.ts";
import { createMachineDirectories, type NodeDirectories, removeMachineDirectories } from "../runtime/directories.ts";
import type { MonitorUsers } from "../runtime/users.ts";
import { machineLimits } from "../machine/limits.ts";
import { createBlankDisk, diskFiles } from "./blank-disk.ts";
import type { TemplateInput } from "./key.ts";

export interface BuildOptions extends TemplateInput {
  readonly driver: VmDriver;
  readonly cgroups: Cgroups;
  readonly groupPrefix: string;
  readonly directories: NodeDirectories;
  readonly users: MonitorUsers;
  /** Does not exist yet. */
  readonly target: string;
  readonly progress: (step: string) => void;
  readonly signal?: AbortSignal;
}

export const templateFileNames = { ram: "ram", state: "state", facts: "template.json" } as const;

/** What a template says about itself. */
export interface TemplateFacts {
  /** MiB that `free` shows in a machine restored from it, before memory is plugged. */
  readonly visibleMemory: number;
}

/** Emulated hosts need four seconds when they are idle. */
const bootDeadlineMs = 90_000;

export function templateFiles(directory: string): TemplateFiles {
  return { directory, ram: templateFileNames.ram, state: templateFileNames.state, blankDisk: diskFiles.blank };
}

/** Builds beside `target` and renames, so that a template is there whole or not at all. */
export async function buildTemplate(options: BuildOptions): Promise<void> {
  const draft = `${options.target}.draft-${process.pid}`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o755 });
  try {
    options.progress("formatting the writable layer");
    await createBlankDisk(draft, options.diskBytes);
    options.progress("booting the template");
    await bootAndSave(options, draft);
    await rename(draft, options.target);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function bootAndSave(options: BuildOptions, draft: string): Promise<void> {
  const { driver, shape, image, users } = options;
  const machine = await createMachineDirectories(options.directories);
  const uid = users.take();
  const group = await options.cgroups.create(
    `${options.groupPrefix}${machine.key}`,
    machineLimits(shape, shape.baseMemory),
  );
  let vm: Vm | undefined;
  try {
    const rootImage = join(machine.disks, "root.0");
    await copyFile(join(draft, diskFiles.layer), rootImage);
    const written = [rootImage, join(draft, templateFileNames.ram), join(draft, templateFileNames.state)];
    for (const path of written) {
      const file = await open(path, "a", 0o600);
      if (uid !== undefined) await file.chown(uid, uid);
      await file.close();
    }
    await truncate(join(draft, templateFileNames.ram), shape.baseMemory * 2 ** 20);
    vm = await driver.boot({
      shape,
      place: {
        runDirectory: machine.run,
        disksDirectory: machine.disks,
        joinFiles: group.joinFiles,
        ...(uid === undefined ? {} : { uid }),
      },
      base: image.base,
      kernel: image.kernel,
      initramfs: image.initramfs,
      template: templateFiles(draft),
      root: {
        chain: [
          { place: "disks", name: "root.0" },
          { place: "template", name: diskFiles.blank },
        ],
        readOnly: false,
        serial: "root",
        durable: false,
      },
    });
    const facts = await waitForAgent(vm, options.signal);
    await vm.pause();
    options.progress("saving the template");
    await vm.save();
    await vm.stop();
    for (const path of [written[1] ?? "", written[2] ?? ""]) {
      if (uid !== undefined) await chown(path, 0, 0);
      await chmod(path, 0o444);
    }
    await writeFile(join(draft, templateFileNames.facts), `${JSON.stringify(facts)}\n`);
  } finally {
    await vm?.stop();
    await group.destroy();
    await removeMachineDirectories(machine);
    users.give(uid);
  }
}

/** @throws CaissonError `internal` with the end of the console when the guest does not come up */
async function waitForAgent(vm: Vm, signal?: AbortSignal): Promise<TemplateFacts> {
  const agent = connectAgent(vm.controlSocket);
  try {
    const ready = agent.ready(bootDeadlineMs).then(async () => {
      const hello = await agent.machine.hello({});
      if (hello.state !== agentContract.HelloResponse_State.TEMPLATE)
        throw new CaissonError("internal", "The agent is not in its template state.");
      const stats = await agent.machine.stats({});
      return { visibleMemory: Math.round(Number(stats.memoryTotalBytes) / 2 ** 20) };
    });
    ready.catch(() => undefined);
    const died = vm.exited.then(({ detail }) => {
      throw new CaissonError("internal", `The template did not boot: ${detail}`);
    });
    died.catch(() => undefined);
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener(
        "abort",
        () => reject(new CaissonError("cancelled", "Building the template was cancelled.")),
        { once: true },
      );
    });
    return await Promise.race([ready, died, aborted]);
  } catch (cause) {
    const console = await vm.console().catch(() => "");
    const tail = console.trim().split("\n").slice(-15).join("\n");
    throw new CaissonError("internal", `The template did not come up. The end of its console:\n${tail}`, { cause });
  } finally {
    agent.end();
  }
}

export async function readFacts(directory: string): Promise<TemplateFacts> {
  const facts = JSON.parse(await readFile(join(directory, templateFileNames.facts), "utf8")) as TemplateFacts;
  if (!Number.isInteger(facts.visibleMemory))
    throw new CaissonError("internal", `${directory} is not a template; remove it.`);
  return facts;
}
