/** Deploys files from the body of a request. */
import { deployRequest, type AppConfig } from "@caisson/api";
import { CaissonError, type Config, type SandboxNode } from "@caisson/protocol";
import type { AppsService } from "../apps/index.ts";
import type { RevisionRow, RevisionsService } from "../revisions/index.ts";
import { assetsInto } from "./collect/from-assets.ts";
import { readAssets } from "./collect/read-assets.ts";
import { TreeBuilder } from "./collect/tree.ts";
import type { RevisionContents } from "../serving/index.ts";
import type { Deployments } from "./deployments.ts";

/** base64 and the names around it. */
const growth = 1.5;
/** Bodies that are read at the same time: each has an asset in memory. And those of one organisation. */
const mostUploads = 4;
const mostOfOne = 2;
/** Organisations whose bodies are read. */
const uploads: string[] = [];

/** @param files bytes */
export function largestBody(files: number): number {
  return Math.ceil(files * growth) + 2 ** 20;
}

const rest = deployRequest.omit({ assets: true });

export interface FromAssetsOptions {
  readonly config: Pick<Config, "serving">;
  readonly node: SandboxNode;
  readonly apps: AppsService;
  readonly revisions: RevisionsService;
  readonly contents: RevisionContents;
  readonly deployments: Deployments;
}

/**
 * Answers when all files are stored and the deployment has begun.
 * @throws CaissonError `not_found`, `invalid_argument`, `too_large`, `resource_exhausted`
 */
export function deployFromAssets(
  orgId: string,
  idOrSlug: string,
  body: AsyncIterable<Uint8Array>,
  options: FromAssetsOptions,
): Promise<RevisionRow> {
  return options.contents.during(() => deploy(orgId, idOrSlug, body, options));
}

async function deploy(
  orgId: string,
  idOrSlug: string,
  body: AsyncIterable<Uint8Array>,
  { config, node, apps, revisions, deployments }: FromAssetsOptions,
): Promise<RevisionRow> {
  const app = await apps.require(orgId, idOrSlug);
  if (uploads.length >= mostUploads || uploads.filter((other) => other === orgId).length >= mostOfOne)
    throw new CaissonError("resource_exhausted", "Too many deployments are being uploaded. Try again in a moment.");
  const { deployBytes: bytes, deployFiles: files } = config.serving;
  const builder = new TreeBuilder(node.files, { bytes, files });
  uploads.push(orgId);
  let fields: Record<string, unknown>;
  try {
    fields = await readAssets(body, {
      maxBytes: largestBody(bytes),
      store: (path, asset) => assetsInto(builder, path, asset),
    });
  } finally {
    uploads.splice(uploads.indexOf(orgId), 1);
  }
  const checked = rest.safeParse(fields);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw new CaissonError("invalid_argument", `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "is not valid"}`);
  }
  const request = checked.data;
  const tree = await builder.finish();
  const appsConfig = JSON.parse(app.config) as AppConfig;
  const revision = await revisions.create({
    app,
    config: request.config ?? appsConfig,
    layers: request.layers == null ? await apps.layersOf(app.id) : await apps.requireLayers(orgId, request.layers),
    env: request.env_vars ?? [],
    labels: request.labels ?? {},
    production: request.production ?? true,
    preview: request.preview ?? false,
    retention: request.retention ?? "auto",
  });
  await deployments.begin(revision, { tree, egress: { policy: {}, secrets: [] } });
  return revision;
}
