/** Builds a template: boots a machine once, waits until its agent is ready, and saves the machine. */
import { chmod, chown, mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { agentContract, CaissonError } from "@caisson/protocol";
import { connectAgent } from "../agent/client.ts";
import { templatePrograms, warmUp } from "../agent/warm-up.ts";
import { rootSerial, type TemplateFiles, type Vm, type VmDriver } from "../driver/driver.ts";
import { Holdings, type HostResources } from "../holdings/holdings.ts";
import type { TemplateInput } from "./key.ts";

export interface BuildOptions extends TemplateInput {
  readonly driver: VmDriver;
  readonly host: HostResources;
  /** Does not exist yet. */
  readonly target: string;
  readonly progress: (step: string) => void;
  readonly signal?: AbortSignal;
}

export const templateFileNames = { ram: "ram", state: "state", facts: "template.json" } as const;

/** Properties of a template, stored with it. */
export interface TemplateFacts {
  /** MiB that `free` shows in a machine restored from it, before memory is plugged. */
  readonly visibleMemory: number;
}

/** Emulated hosts need four seconds when they are idle. */
const bootDeadlineMs = 90_000;
const settleMs = 1000;
const attempts = 3;

/** Names of the files of a template. */
export function templateFiles(driver: VmDriver): Omit<TemplateFiles, "directory" | "writtenDisk"> {
  return { ram: templateFileNames.ram, state: templateFileNames.state, ...driver.templateDisks };
}

/** Builds beside `target` and renames, so that a template is complete or does not exist. */
export async function buildTemplate(options: BuildOptions): Promise<void> {
  const draft = `${options.target}.draft-${process.pid}`;
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await buildDraft(options, draft);
        break;
      } catch (error) {
        // A kernel that got too little processor time during its start may succeed the next time.
        if (attempt === attempts || options.signal?.aborted === true) throw error;
        options.progress(`the template did not boot, attempt ${attempt} of ${attempts}`);
      }
    }
    await rename(draft, options.target);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function buildDraft(options: BuildOptions, draft: string): Promise<void> {
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o755 });
  options.progress("formatting the writable layer");
  await options.driver.createTemplateDisks(draft, options.diskBytes);
  options.progress("booting the template");
  await bootAndSave(options, draft);
}

async function bootAndSave(options: BuildOptions, draft: string): Promise<void> {
  const { driver, shape, image, host } = options;
  // With a record like every machine, so that the next start of the node removes what a killed builder leaves.
  const holdings = await Holdings.create(host, { shape, memory: shape.baseMemory, template: "draft" });
  const { directories, cgroup, uid } = holdings;
  let vm: Vm | undefined;
  try {
    const written = [templateFileNames.ram, templateFileNames.state, driver.templateDisks.blankDisk].map((name) =>
      join(draft, name),
    );
    for (const path of written) {
      const file = await open(path, "a", 0o600);
      if (path.endsWith(templateFileNames.ram)) await file.truncate(shape.baseMemory * 2 ** 20);
      if (uid !== undefined) await file.chown(uid, uid);
      await file.close();
    }
    vm = await driver.boot({
      shape,
      place: {
        runDirectory: directories.run,
        disksDirectory: directories.disks,
        joinFiles: cgroup.joinFiles,
        ...(uid === undefined ? {} : { uid }),
      },
      base: image.base,
      kernel: image.kernel,
      initramfs: image.initramfs,
      template: { ...templateFiles(driver), directory: draft },
      // Written to directly: all clones are overlays of this disk as it is when the machine is saved.
      root: {
        chain: [{ place: "template", name: driver.templateDisks.blankDisk }],
        readOnly: false,
        serial: rootSerial,
        durable: false,
      },
      onProcess: (process) => holdings.update({ process }),
    });
    const facts = await waitForAgent(vm, options.signal);
    // The agent must have noticed that the connection is closed, or every clone would first have to close it.
    await sleep(settleMs);
    await vm.pause();
    options.progress("saving the template");
    await vm.save();
    await vm.stop();
    for (const path of written) {
      await chown(path, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
      await chmod(path, 0o444);
    }
    await writeFile(join(draft, templateFileNames.facts), `${JSON.stringify(facts)}\n`);
  } finally {
    await vm?.stop();
    await holdings.giveBack();
  }
}

/** @throws CaissonError `internal` with the end of the console when the guest does not come up */
async function waitForAgent(vm: Vm, signal?: AbortSignal): Promise<TemplateFacts> {
  const agent = connectAgent(vm.controlSocket);
  try {
    const ready = agent.ready(bootDeadlineMs).then(async () => {
      const hello = await agent.machine.hello({});
      if (hello.state !== agentContract.HelloResponse_State.TEMPLATE) {
        throw new CaissonError("internal", "The agent of the template is in the wrong state. Rebuild the base image.");
      }
      await agent.machine.prepare({ rootSerial });
      await warmUp(agent, templatePrograms);
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
    throw new CaissonError("internal", `The template did not start. The last lines of its console:\n${tail}`, {
      cause,
    });
  } finally {
    agent.end();
  }
}

export async function readFacts(directory: string): Promise<TemplateFacts> {
  const facts = JSON.parse(await readFile(join(directory, templateFileNames.facts), "utf8")) as TemplateFacts;
  if (!Number.isInteger(facts.visibleMemory))
    throw new CaissonError(
      "internal",
      `${directory} does not contain a valid template. Remove the directory; it is built again.`,
    );
  return facts;
}
