/** How an app is built and run (wire contract 1.7): of apps, for new revisions, and of each revision. */
import { z } from "zod";

const frameworks = [
  "",
  "nextjs",
  "astro",
  "nuxt",
  "remix",
  "solidstart",
  "tanstackstart",
  "sveltekit",
  "fresh",
  "lume",
] as const;

const path = z.string().max(4096);
const command = z.string().max(16_384).nullish();

export const runtimeConfig = z
  .discriminatedUnion("type", [
    z.object({
      type: z.literal("dynamic").describe("Runs a program that listens for HTTP."),
      entrypoint: path.min(1).describe("Main module, relative to the app's directory."),
      args: z.array(z.string().max(16_384)).max(256).nullish().describe("Arguments of the program."),
      cwd: path.nullish(),
    }),
    z.object({
      type: z.literal("static").describe("Serves files."),
      cwd: path.describe("Directory of the files, relative to the app's directory."),
      spa: z.boolean().nullish().describe("Serves `index.html` for paths that have no file."),
    }),
  ])
  .meta({ id: "RuntimeConfig" });

export const appConfig = z
  .object({
    framework: z.enum(frameworks).nullish().describe("Preset. Excludes `runtime`. Empty: none."),
    install: command.describe("Install command. Absent or null: no install step, or the preset's."),
    build: command.describe("Build command. Absent or null: no build step, or the preset's."),
    predeploy: command.describe("Runs before each deployment, such as a database migration."),
    crons: z.boolean().nullish().describe("False: a revision that registers cron jobs fails to build. Default: true."),
    runtime: runtimeConfig.nullish().describe("Excludes `framework`."),
  })
  .refine(
    ({ framework, runtime }) => !framework || runtime == null,
    "has both `framework` and `runtime`; they exclude each other",
  )
  .meta({ id: "AppConfig" });

export type RuntimeConfig = z.infer<typeof runtimeConfig>;
export type AppConfig = z.infer<typeof appConfig>;
