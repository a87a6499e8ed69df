/** Bodies that deploy (wire contract 1.8). */
import { z } from "zod";
import { appConfig } from "./app-config.ts";
import { retentions } from "./revisions.ts";

const command = z.string().max(16_384).nullish();

export const sandboxDeployRequest = z
  .object({
    app: z.string().max(64).describe("Id or slug of the app."),
    entrypoint: z.string().min(1).max(4096).default("main.ts").describe("Main module, relative to `path`."),
    args: z.array(z.string().max(16_384)).max(256).nullish().describe("Arguments of the program."),
    path: z
      .string()
      .max(4096)
      .default("/home/app")
      .describe("Directory of the files in the sandbox; a relative one begins in `/home/app`."),
    production: z.boolean().nullish().describe("Whether it serves production when it is healthy. Default: true."),
    preview: z.boolean().nullish().describe("Whether it gets an address of its own. Default: false."),
    mode: z
      .enum(["none", "local"])
      .default("none")
      .describe("`none`: the files as they are. `local`: install and build in the sandbox first."),
    frameworkPreset: appConfig.shape.framework,
    installCommand: command,
    buildCommand: command,
    buildDirectory: z.string().max(4096).nullish().describe("Where both commands run, relative to `path`."),
  })
  .meta({ id: "SandboxDeployRequest" });

export const sandboxDeployResponse = z.object({ revision_id: z.string() }).meta({ id: "SandboxDeployResponse" });

export const asset = z
  .union([
    z.object({
      kind: z.literal("file").default("file"),
      encoding: z.enum(["utf-8", "base64"]).default("utf-8"),
      content: z.string(),
    }),
    z.object({ kind: z.literal("symlink"), target: z.string().max(4096) }),
  ])
  .meta({ id: "Asset" });

export const deployRequest = z
  .object({
    assets: z.record(z.string().max(4096), asset).describe("By path relative to the app's directory."),
    config: appConfig.nullish().describe("Default: the app's."),
    layers: z.array(z.string().max(64)).max(64).nullish().describe("Ids or slugs. Default: the app's."),
    env_vars: z
      .array(z.object({ key: z.string().min(1).max(128), value: z.string().max(16_384) }))
      .max(1024)
      .nullish()
      .describe("Of this revision alone, above those of the app."),
    labels: z.record(z.string(), z.string()).nullish(),
    production: z.boolean().nullish().describe("Default: true."),
    preview: z.boolean().nullish().describe("Default: false."),
    retention: z.enum(retentions).nullish().describe("Default: `auto`."),
  })
  .meta({ id: "DeployRequest" });

export type SandboxDeployRequest = z.infer<typeof sandboxDeployRequest>;
export type Asset = z.infer<typeof asset>;
export type DeployRequest = z.infer<typeof deployRequest>;
