/** Machines of deployments: builds, which end in the files of a revision, and commands that run before it is served. */
import {
  CaissonError,
  newId,
  type Agent,
  type Config,
  type EgressSpec,
  type ImageMount,
  type SandboxNode,
  type TreeEntry,
} from "@caisson/protocol";
import type { Logger } from "pino";
import { machineMemory, type Workloads } from "../../workloads/index.ts";
import { cacheImage, sourceImage } from "../../serving/contents.ts";
import { appDirectory } from "../../serving/program.ts";
import { collectFromGuest } from "../collect/from-guest.ts";
import type { Job } from "../job.ts";
import { cacheMount, cacheVariables, type BuildCaches } from "./cache.ts";
import { runBuild, runCommand, runPrefetch } from "./commands.ts";
import type { BuildPlan } from "./presets.ts";
import type { RevisionsService } from "../../revisions/index.ts";

/** Where the sources of a build are mounted. */
const source = "/app/source";

export interface BuildMachines {
  readonly config: Pick<Config, "sandbox" | "serving">;
  readonly node: SandboxNode;
  readonly workloads: Workloads;
  readonly revisions: Pick<RevisionsService, "setStage">;
  readonly caches: BuildCaches;
  readonly log: Logger;
}

export interface Surroundings {
  readonly env: Readonly<Record<string, string>>;
  readonly egress: EgressSpec;
}

/**
 * The files are copied into a machine, the commands run, and what is there then is the revision.
 * @throws CaissonError what fails; nothing of the machine is left then
 */
export async function buildInMachine(
  plan: BuildPlan,
  tree: readonly TreeEntry[],
  { env, egress }: Surroundings,
  job: Job,
  machines: BuildMachines,
): Promise<TreeEntry[]> {
  const { revision, signal } = job;
  const { config, node, revisions, caches, log } = machines;
  const images: ImageMount[] = [{ image: sourceImage(revision.id), serial: "source", path: source }];
  try {
    await node.files.pack(sourceImage(revision.id), tree, { signal });
    const cached = await caches.pack(revision.app_id, cacheImage(revision.id), signal);
    if (cached) images.push({ image: cacheImage(revision.id), serial: "cache", path: cacheMount });
    const all = { env: { ...cacheVariables, ...env }, egress };
    return await inMachine(images, all, job, machines, async (agent) => {
      await copySources(agent, signal);
      await caches.unpack(agent, cached, signal);
      const place = { agent, cwd: appDirectory, env: {} };
      // Without commands, stages that ran in a sandbox stay as they are.
      if (plan.install !== undefined || plan.build !== undefined) await runBuild(plan, place, job, revisions);
      if (plan.prefetch !== undefined) await runPrefetch(plan.prefetch, place, job);
      const { deployBytes: bytes, deployFiles: files } = config.serving;
      const limits = { bytes, files };
      const built = await collectFromGuest({ agent, path: appDirectory, files: node.files, limits, signal });
      await caches.keep({ id: revision.app_id, orgId: revision.org_id }, agent, signal);
      return [...built.tree];
    });
  } finally {
    for (const { image } of images)
      await node.files
        .removeImage(image)
        .catch((error: unknown) => log.warn({ err: error, image }, "what a build read is removed later"));
  }
}

async function copySources(agent: Agent, signal: AbortSignal): Promise<void> {
  const command = `mkdir -p ${appDirectory} && cp -a ${source}/. ${appDirectory} && chmod -R u+w ${appDirectory}`;
  const { pid } = await agent.processes.spawn({ command: "bash", args: ["-c", command] }, { signal });
  const { code } = await agent.processes.wait({ pid }, { signal });
  if (code !== 0) throw new CaissonError("guest_error", "The files could not be copied into the build.");
}

/**
 * Runs a command with the files of the revision, as its instances have them, before it serves a timeline.
 * @throws CaissonError when it fails
 */
export async function runPredeploy(
  command: string,
  timeline: string,
  surroundings: Surroundings,
  job: Job,
  machines: BuildMachines,
): Promise<void> {
  const images = [{ image: job.revision.id, serial: "app", path: appDirectory }];
  await inMachine(images, surroundings, job, machines, (agent) =>
    runCommand(command, { step: "deploying", timeline }, { agent, cwd: appDirectory, env: {} }, job),
  );
}

async function inMachine<T>(
  images: readonly ImageMount[],
  { env, egress }: Surroundings,
  { revision, signal }: Job,
  { config, workloads }: BuildMachines,
  use: (agent: Agent) => Promise<T>,
): Promise<T> {
  const id = newId("bld", config.sandbox.region);
  try {
    const { agent } = await workloads.start(
      {
        id,
        kind: "build",
        orgId: revision.org_id,
        memory: machineMemory(config.serving.buildMemory, config.sandbox),
        vcpus: config.sandbox.vcpus,
        env,
        egress,
        disks: { volumes: [] },
        images,
      },
      signal,
    );
    return await use(agent);
  } finally {
    await workloads.finish(id);
  }
}
