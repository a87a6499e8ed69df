/** The part of the OpenAPI document that describes this room's routes. */
import { createVolumeRequest, snapshotRequest, snapshotSchema, volumeSchema } from "./schemas.ts";

type Json = Record<string, unknown>;

export const volumeSchemas = {
  CreateVolumeRequest: createVolumeRequest,
  SnapshotRequest: snapshotRequest,
  Volume: volumeSchema,
  Snapshot: snapshotSchema,
};

const ref = (name: keyof typeof volumeSchemas | "Error"): Json => ({ $ref: `#/components/schemas/${name}` });
const json = (description: string, schema: Json): Json => ({
  description,
  content: { "application/json": { schema } },
});
const body = (name: keyof typeof volumeSchemas): Json => ({
  required: true,
  content: { "application/json": { schema: ref(name) } },
});

function operation(summary: string, responses: Json, also: Json = {}): Json {
  return { summary, responses: { ...responses, default: json("Refused", ref("Error")) }, ...also };
}

/** @param page the parameters of every list */
export function volumePaths(page: readonly Json[]): Json {
  const idOrSlug = (name: string): Json => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
    description: "Id or slug.",
  });
  const search = { name: "search", in: "query", required: false, schema: { type: "string" } };
  const list = (what: string, name: "Volume" | "Snapshot") =>
    operation(
      `List ${what}, newest first`,
      { 200: json("A page", { type: "array", items: ref(name) }) },
      { parameters: [...page, search] },
    );
  const gone = { 204: { description: "It is gone." } };
  return {
    "/api/v2/volumes": {
      get: list("volumes", "Volume"),
      post: operation(
        "Make a volume",
        { 200: json("Made", ref("Volume")) },
        { requestBody: body("CreateVolumeRequest") },
      ),
    },
    "/api/v2/volumes/{volume}": {
      parameters: [idOrSlug("volume")],
      get: operation("Look at a volume", { 200: json("The volume", ref("Volume")) }),
      delete: operation("Delete a volume that no sandbox has", gone),
    },
    "/api/v2/volumes/{volume}/snapshot": {
      parameters: [idOrSlug("volume")],
      post: operation(
        "Take a snapshot, also of a mounted volume",
        { 200: json("Taken", ref("Snapshot")) },
        { requestBody: body("SnapshotRequest") },
      ),
    },
    "/api/v2/snapshots": { get: list("snapshots", "Snapshot") },
    "/api/v2/snapshots/{snapshot}": {
      parameters: [idOrSlug("snapshot")],
      get: operation("Look at a snapshot", { 200: json("The snapshot", ref("Snapshot")) }),
      delete: operation("Delete a snapshot; what was made from it stays", gone),
    },
  };
}
