/** Builds in a machine of its own: the files are copied into it, the commands run, and what is there then is the revision. */
import { CaissonError, newId, type Config, type SandboxNode, type TreeEntry } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Workloads } from "../../workloads/index.ts";
import { sourceImage } from "../../serving/contents.ts";
import { collectFromGuest, type Collected } from "../collect/from-guest.ts";
import type { Job } from "../job.ts";
import { runBuild } from "./commands.ts";
import type { BuildPlan } from "./presets.ts";
import type { RevisionsService } from "../../revisions/index.ts";

/** Where the sources are mounted, and where they are built. */
const [source, directory] = ["/app/source", "/app/src"];

export interface BuildMachines {
  readonly config: Pick<Config, "sandbox" | "serving">;
  readonly node: SandboxNode;
  readonly workloads: Workloads;
  readonly revisions: Pick<RevisionsService, "setStage">;
  readonly log: Logger;
}

/** @throws CaissonError what fails; nothing of the machine is left then */
export async function buildInMachine(
  plan: BuildPlan,
  tree: readonly TreeEntry[],
  env: Readonly<Record<string, string>>,
  job: Job,
  { config, node, workloads, revisions, log }: BuildMachines,
): Promise<Collected> {
  const { revision, signal } = job;
  const id = newId("bld", config.sandbox.region);
  const image = sourceImage(revision.id);
  await node.files.pack(image, tree, { signal });
  try {
    const { agent } = await workloads.start(
      {
        id,
        kind: "build",
        orgId: revision.org_id,
        memory: config.serving.buildMemory,
        vcpus: config.sandbox.vcpus,
        env,
        egress: { policy: {}, secrets: [] },
        disks: { volumes: [] },
        images: [{ image, serial: "source", path: source }],
      },
      signal,
    );
    const copy = await agent.processes.spawn(
      {
        command: "bash",
        args: ["-c", `mkdir -p ${directory} && cp -a ${source}/. ${directory} && chmod -R u+w ${directory}`],
      },
      { signal },
    );
    const { code } = await agent.processes.wait({ pid: copy.pid }, { signal });
    if (code !== 0) throw new CaissonError("guest_error", "The files could not be copied into the build.");
    await runBuild(plan, { agent, cwd: directory, env: {} }, job, revisions);
    const { deployBytes: bytes, deployFiles: files } = config.serving;
    return await collectFromGuest({ agent, path: directory, files: node.files, limits: { bytes, files }, signal });
  } finally {
    await end(id, workloads, log);
    await node.files.removeImage(image);
  }
}

async function end(id: string, workloads: Workloads, log: Logger): Promise<void> {
  try {
    await workloads.kill(id);
    await workloads.giveBack(id);
  } catch (error) {
    log.warn({ err: error, build: id }, "a build was not given back; trying again");
    setTimeout(() => void end(id, workloads, log), 2_000).unref();
  }
}
