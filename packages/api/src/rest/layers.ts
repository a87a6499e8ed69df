/** Layers of configuration over REST (wire contract 1.7): variables that several apps share. Nothing to do with disk images. */
import { z } from "zod";
import { text } from "../rpc/common.ts";
import { layerReference } from "./apps.ts";
import { envVar, envVarInit, envVarUpdate } from "./env-vars.ts";

const slug = z.string().max(64);
const description = text.max(4096).nullish();
const layers = z
  .array(z.string().max(64))
  .max(64)
  .nullish()
  .describe("Ids or slugs of layers that this one includes, in order of priority. Its own variables override theirs.");

export const createLayerRequest = z
  .object({ slug, description, layers, env_vars: z.array(envVarInit).max(1024).nullish() })
  .meta({ id: "CreateLayerRequest" });

export const updateLayerRequest = z
  .object({ slug: slug.nullish(), description, layers, env_vars: z.array(envVarUpdate).max(1024).nullish() })
  .meta({ id: "UpdateLayerRequest" });

export const layerSchema = z
  .object({
    id: z.string(),
    slug: z.string(),
    description: z.string().optional(),
    layers: z.array(layerReference),
    env_vars: z.array(envVar),
    app_count: z.int().describe("Apps that name this layer."),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: "Layer" });

export const layerAppSchema = z
  .object({ id: z.string(), slug: z.string(), layer_position: z.int().describe("Index in the app's `layers`.") })
  .meta({ id: "LayerApp" });

export type CreateLayerRequest = z.infer<typeof createLayerRequest>;
export type UpdateLayerRequest = z.infer<typeof updateLayerRequest>;
export type Layer = z.infer<typeof layerSchema>;
