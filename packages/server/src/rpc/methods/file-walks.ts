/** Directory walks and globs: streams with one JSON document in each chunk (T14). */
import { Readable } from "node:stream";
import type { agentContract } from "@caisson/protocol";
import { z } from "zod";
import { method, optional, path, type Call, type Methods } from "../call.ts";

const flag = optional(z.boolean());
const regex = z.object({ source: z.string().max(4096), flags: z.string().max(16) });
/** The Python client sends options in an object of their own. */
const flattened = <T extends z.ZodType>(schema: T) =>
  z.preprocess((params) => {
    const { options, ...rest } = (params ?? {}) as Record<string, unknown>;
    return { ...(typeof options === "object" ? options : {}), ...rest };
  }, schema);

const walkSchema = z.object({
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
const globSchema = z.object({
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

export const fileWalks: Methods = {
  walk: method(flattened(walkSchema), async (params, call) => {
    const request = {
      path: params.path,
      includeFiles: params.includeFiles ?? true,
      includeDirs: params.includeDirs ?? true,
      includeSymlinks: params.includeSymlinks ?? true,
      followSymlinks: params.followSymlinks ?? false,
      canonicalize: params.canonicalize ?? true,
      exts: (params.exts ?? []).map((ext) => (ext.startsWith(".") ? ext : `.${ext}`)),
      match: params.match ?? [],
      skip: params.skip ?? [],
      ...(params.maxDepth === undefined || params.maxDepth > 0xffff_ffff
        ? {}
        : { maxDepth: Math.trunc(params.maxDepth) }),
    };
    return { streamId: stream((signal) => call.agent.files.walk(request, { signal }), call) };
  }),
  expandGlob: method(flattened(globSchema), async (params, call) => {
    const request = {
      glob: params.glob,
      root: params.root ?? "",
      exclude: params.exclude ?? [],
      includeDirs: params.includeDirs ?? true,
      followSymlinks: params.followSymlinks ?? false,
      canonicalize: params.canonicalize ?? true,
      extended: params.extended ?? true,
      globstar: params.globstar ?? true,
      caseInsensitive: params.caseInsensitive ?? false,
    };
    return { streamId: stream((signal) => call.agent.files.expandGlob(request, { signal }), call) };
  }),
};

type Walk = (signal: AbortSignal) => AsyncIterable<agentContract.WalkBatch>;

function stream(walk: Walk, { connection, replied }: Call): number {
  const abort = new AbortController();
  const source = Readable.from(documents(walk, abort.signal));
  source.once("close", () => abort.abort());
  return connection.outbound.open(source, { gate: replied });
}

/** The call begins with the first read: an answer that nobody reads yet is taken for broken when its stream closes. */
async function* documents(walk: Walk, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const { entries } of walk(signal)) {
    for (const { path, name, isFile, isDirectory, isSymlink } of entries) {
      yield Buffer.from(JSON.stringify({ path, name, isFile, isDirectory, isSymlink }));
    }
  }
}
