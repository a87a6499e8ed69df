/** Directory walks and globs: streams with one JSON document in each chunk (T14). */
import { rpcMethods as contract } from "@caisson/api";
import { Readable } from "node:stream";
import type { agentContract } from "@caisson/protocol";
import { method, type Call, type Methods } from "../call.ts";

export const fileWalks: Methods = {
  walk: method(contract.walk, async (params, call) => {
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
  expandGlob: method(contract.expandGlob, async (params, call) => {
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

/** The call starts with the first read. Connect reports an answer as broken when its stream closes before anyone reads it. */
async function* documents(walk: Walk, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const { entries } of walk(signal)) {
    for (const { path, name, isFile, isDirectory, isSymlink } of entries) {
      yield Buffer.from(JSON.stringify({ path, name, isFile, isDirectory, isSymlink }));
    }
  }
}
