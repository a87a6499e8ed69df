/** Deploys the files of a sandbox, with its network policy and its secrets. */
import type { AppConfig, SandboxDeployRequest } from "@caisson/api";
import { CaissonError, type Config, type EgressSpec, type SandboxNode } from "@caisson/protocol";
import type { AppsService } from "../apps/index.ts";
import type { RevisionRow, RevisionsService } from "../revisions/index.ts";
import type { LiveSandbox, Sandboxes } from "../sandboxes/index.ts";
import { bindSecrets } from "../secrets/placeholders.ts";
import type { SecretStore } from "../secrets/store.ts";
import { collectFromGuest } from "./collect/from-guest.ts";
import { runBuild } from "./build/commands.ts";
import { planOf } from "./build/presets.ts";
import type { Deployments } from "./deployments.ts";
import type { Job } from "./job.ts";

export interface FromSandboxOptions {
  readonly config: Pick<Config, "serving">;
  readonly node: SandboxNode;
  readonly apps: AppsService;
  readonly revisions: RevisionsService;
  readonly sandboxes: Sandboxes;
  readonly secrets: SecretStore;
  readonly deployments: Deployments;
}

/**
 * Answers when the deployment has begun.
 * @throws CaissonError `not_found`, `gone`, `invalid_argument`
 */
export async function deployFromSandbox(
  orgId: string,
  sandboxId: string,
  request: SandboxDeployRequest,
  options: FromSandboxOptions,
): Promise<RevisionRow> {
  const { apps, revisions, sandboxes, deployments, node, config } = options;
  const sandbox = await sandboxes.find(orgId, sandboxId);
  const app = await apps.require(orgId, request.app);
  const local = request.mode === "local";
  const runtime = {
    type: "dynamic" as const,
    entrypoint: request.entrypoint,
    ...(request.args == null ? {} : { args: request.args }),
  };
  // Now: the sandbox may end, or its policy may change, before it is this deployment's turn.
  const egress = await egressOf(orgId, sandbox, options);
  const { crons, predeploy } = JSON.parse(app.config) as AppConfig;
  const revision = await revisions.create({
    app,
    config: {
      ...(local && request.frameworkPreset ? { framework: request.frameworkPreset } : { runtime }),
      ...(local ? { install: request.installCommand ?? null, build: request.buildCommand ?? null } : {}),
      ...(crons === undefined ? {} : { crons }),
      ...(predeploy == null ? {} : { predeploy }),
    },
    layers: await apps.layersOf(app.id),
    env: [],
    labels: {},
    production: request.production ?? true,
    preview: request.preview ?? false,
    retention: "auto",
  });
  const limits = { bytes: config.serving.deployBytes, files: config.serving.deployFiles };
  await deployments.begin(revision, { tree: [], egress }, async (job) => {
    const { signal, say } = job;
    if (local) await buildInSandbox(sandbox, request, job, options);
    await say({ level: "info", step: "preparing", message: `Reads the files of ${request.path} from ${sandbox.id}.` });
    const ended = AbortSignal.any([signal, sandbox.ended]);
    const { tree } = await collectFromGuest({
      agent: sandbox.agent,
      path: request.path,
      files: node.files,
      limits,
      signal: ended,
    }).catch((error: unknown) => {
      if (signal.aborted || !sandbox.ended.aborted) throw error;
      throw new CaissonError("gone", "The sandbox ended before all files were read. Wait for `done` before it ends.");
    });
    return { tree, egress };
  });
  return revision;
}

/** Mode `local`: the commands run in the sandbox itself, where the files are. */
async function buildInSandbox(
  { agent, ended }: LiveSandbox,
  { path, buildDirectory }: SandboxDeployRequest,
  job: Job,
  { revisions }: FromSandboxOptions,
): Promise<void> {
  const signal = AbortSignal.any([job.signal, ended]);
  const cwd = buildDirectory == null || buildDirectory === "" ? path : `${path}/${buildDirectory}`;
  const listed = await agent.files.readDir({ path: cwd }, { signal }).catch((cause: unknown) => {
    throw new CaissonError("invalid_argument", `The directory ${JSON.stringify(cwd)} does not exist in the sandbox.`, {
      cause,
    });
  });
  const config = JSON.parse(job.revision.config) as AppConfig;
  const plan = planOf(config, new Set(listed.entries.map(({ name }) => name)));
  const env = { ...(await revisions.environment(job.revision, "build")), CI: "true" };
  await runBuild(plan, { agent, cwd, env }, { ...job, signal }, revisions);
}

async function egressOf(orgId: string, { id }: LiveSandbox, options: FromSandboxOptions): Promise<EgressSpec> {
  const { allow_net } = await options.sandboxes.row(orgId, id);
  const secrets = await options.secrets.of(id);
  return {
    policy: allow_net === null ? {} : { allow: JSON.parse(allow_net) as string[] },
    // Placeholders of its own: those of the sandbox are known to whoever used it.
    secrets: bindSecrets(Object.fromEntries(secrets.map((secret) => [secret.name, secret]))),
  };
}
