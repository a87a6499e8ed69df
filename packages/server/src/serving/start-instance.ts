/** Starts an instance of a revision in a timeline: its image, its environment, its machine. */
import type { AppConfig, EnvContext } from "@caisson/api";
import type { Config, SandboxNode } from "@caisson/protocol";
import type { Logger } from "pino";
import type { RevisionsService } from "../revisions/index.ts";
import { machineMemory, type WorkloadPlan, type Workloads } from "../workloads/index.ts";
import type { InstanceCheckpoints } from "./checkpoints/checkpoints.ts";
import type { Subject } from "./checkpoints/subject.ts";
import type { RevisionContents } from "./contents.ts";
import { Instance } from "./instance.ts";
import { appDirectory, dependencies, platformVariables, programOf, withoutColours } from "./program.ts";
import type { Target } from "./resolver.ts";

export interface InstanceParts {
  readonly config: Pick<Config, "serving" | "sandbox">;
  readonly node: SandboxNode;
  readonly workloads: Workloads;
  readonly revisions: RevisionsService;
  readonly contents: RevisionContents;
  readonly checkpoints: InstanceCheckpoints;
  readonly log: Logger;
}

/**
 * The image is made again when it is missing. The machine starts in the background, see `Instance.ready`.
 * @throws CaissonError, the reason of the signal
 */
export async function startInstance(
  id: string,
  target: Target,
  { config, node, workloads, revisions, contents, checkpoints, log }: InstanceParts,
  signal: AbortSignal,
): Promise<Instance> {
  const { revision, app, timeline, context, orgSlug } = target;
  const { serving, sandbox } = config;
  const content = await contents.of(revision.id);
  const program = programOf(JSON.parse(revision.config) as AppConfig, content.tree);
  await node.files.pack(revision.id, content.tree, { signal });
  const identity = { org: { id: revision.org_id, slug: orgSlug }, app, revisionId: revision.id, timeline };
  const line = { orgId: revision.org_id, appId: app.id, revisionId: revision.id, region: sandbox.region };
  const variables = await revisions.environment(revision, context as EnvContext);
  // They would be in the clear in memory that is on the disk.
  const secretVariables = await revisions.hasSecretVariables(revision, context as EnvContext);
  // A variable may have become secret with the value that it had.
  if (secretVariables) await checkpoints.drop({ revisionId: revision.id, timeline });
  signal.throwIfAborted();
  const plan: WorkloadPlan = {
    id,
    kind: "instance",
    orgId: revision.org_id,
    memory: machineMemory(serving.memory, sandbox),
    vcpus: sandbox.vcpus,
    env: {
      // Programs that can listen anywhere often ask for it.
      PORT: "8000",
      // Deno would ask for news at each start.
      DENO_NO_UPDATE_CHECK: "1",
      ...withoutColours,
      ...variables,
      ...platformVariables(identity),
      ...(content.tree.some(({ path }) => path === dependencies) && {
        DENO_DIR: `${appDirectory}/${dependencies}`,
      }),
    },
    // Of the revision, as the placeholders are: both are in the memory of a checkpoint.
    egress: { ...content.egress, authority: `revision ${revision.id}` },
    disks: { volumes: [] },
    images: [{ image: revision.id, serial: "app", path: appDirectory }],
  };
  const subject: Subject = { revisionId: revision.id, orgId: revision.org_id, timeline, plan, program };
  const instance = new Instance({
    plan,
    program,
    ...(secretVariables ? {} : { launch: checkpoints.launch(subject) }),
    workloads,
    startTimeout: serving.startTimeout * 1000,
    stopTimeout: serving.stopTimeout * 1000,
    workTimeout: serving.workTimeout * 1000,
    print: (printed) => revisions.runtimeLogs([{ ...line, ...printed }]),
    log,
  });
  if (!secretVariables)
    instance.ready.then(
      () => checkpoints.wish(subject),
      () => undefined,
    );
  return instance;
}
