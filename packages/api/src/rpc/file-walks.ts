/** Directory walks and globs: streams with one JSON document in each chunk (wire contract T14). */
import { z } from "zod";
import { flag, optional, path, streamId, type MethodContract } from "./common.ts";
import { directoryEntry } from "./files.ts";

const regex = z.object({ source: z.string().max(4096), flags: z.string().max(16) });
/** The Python client sends options in an object of their own. */
const flattened = <T extends z.ZodType>(schema: T) =>
  z.preprocess((params) => {
    const { options, ...rest } = (params ?? {}) as Record<string, unknown>;
    return { ...(typeof options === "object" ? options : {}), ...rest };
  }, schema);

const walkParams = z.object({
  path,
  maxDepth: optional(z.number().min(0)),
  includeFiles: flag,
  includeDirs: flag,
  includeSymlinks: flag,
  followSymlinks: flag,
  canonicalize: flag,
  exts: optional(z.array(z.string())),
  match: optional(z.array(regex)),
  skip: optional(z.array(regex)),
});

const globParams = z.object({
  glob: path,
  root: optional(path),
  exclude: optional(z.array(path)),
  includeDirs: flag,
  followSymlinks: flag,
  canonicalize: flag,
  extended: flag,
  globstar: flag,
  caseInsensitive: flag,
});

/** One document of the stream. */
export const walkEntry = directoryEntry.extend({ path: z.string() });

export const fileWalks = {
  walk: { params: flattened(walkParams), result: z.object({ streamId }) },
  expandGlob: { params: flattened(globParams), result: z.object({ streamId }) },
} satisfies Record<string, MethodContract>;
