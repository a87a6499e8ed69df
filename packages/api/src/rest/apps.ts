/** Apps over REST (wire contract 1.7). */
import { z } from "zod";
import { appConfig } from "./app-config.ts";
import { envVar, envVarInit, envVarUpdate } from "./env-vars.ts";

const slug = z.string().max(64);
const labels = z.record(z.string(), z.string());
const layers = z.array(z.string().max(64)).max(64);

/** A layer of configuration: what several apps share. */
export const layerReference = z.object({ id: z.string(), slug: z.string() }).meta({ id: "LayerReference" });

export const createAppRequest = z
  .object({
    slug: slug.nullish().describe("Default: a random one."),
    labels: labels.nullish().describe("At most 5."),
    env_vars: z.array(envVarInit).max(1024).nullish(),
    config: appConfig.nullish().describe("How new revisions are built and run."),
    layers: layers.nullish().describe("Ids or slugs, in order of priority: an earlier one overrides a later one."),
  })
  .meta({ id: "CreateAppRequest" });

export const updateAppRequest = z
  .object({
    slug: slug.nullish(),
    labels: labels.nullish().describe("Replaces all labels."),
    env_vars: z.array(envVarUpdate).max(1024).nullish().describe("Changes single variables; the others stay."),
    config: appConfig.nullish().describe("Replaces the whole configuration."),
    layers: layers.nullish().describe("Replaces all layers."),
  })
  .meta({ id: "UpdateAppRequest" });

export const appSchema = z
  .object({
    id: z.string(),
    slug: z.string(),
    labels,
    env_vars: z.array(envVar),
    config: appConfig,
    layers: z.array(layerReference),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: "App" });

export type CreateAppRequest = z.infer<typeof createAppRequest>;
export type UpdateAppRequest = z.infer<typeof updateAppRequest>;
export type LayerReference = z.infer<typeof layerReference>;
export type App = z.infer<typeof appSchema>;
