/** Environment variables of apps and layers of configuration (wire contract 1.7). */
import { z } from "zod";

/** Where deployed code runs. `build`: while a revision is built. `development`: previews and branches. */
export const envContexts = ["build", "production", "development"] as const;
export type EnvContext = (typeof envContexts)[number];

const contexts = z
  .union([z.literal("all"), z.array(z.string().max(64)).max(16)])
  .describe(`\`all\`, or some of ${envContexts.map((context) => `\`${context}\``).join(", ")}.`);
const key = z.string().max(256);
const value = z.string().max(65_536);

export const envVarInit = z
  .object({
    key,
    value,
    secret: z.boolean().nullish().describe("A secret value is never returned."),
    contexts: contexts.nullish().describe("Default: `all`."),
  })
  .meta({ id: "EnvVarInit" });

export const envVarUpdate = z
  .object({
    id: z.string().max(64).nullish(),
    key: key.nullish().describe("Names the variable when there is no `id`; with an `id`, its new name."),
    value: value.nullish(),
    secret: z.boolean().nullish(),
    contexts: contexts.nullish(),
    delete: z.boolean().nullish(),
  })
  .meta({ id: "EnvVarUpdate" });

export const envVar = z
  .object({
    id: z.string(),
    key: z.string(),
    value: z.string().optional().describe("Absent when the variable is a secret."),
    secret: z.boolean(),
    contexts: z.union([z.literal("all"), z.array(z.string())]),
  })
  .meta({ id: "EnvVar" });

export type EnvVarInit = z.infer<typeof envVarInit>;
export type EnvVarUpdate = z.infer<typeof envVarUpdate>;
export type EnvVar = z.infer<typeof envVar>;
