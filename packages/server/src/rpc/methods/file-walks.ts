/** Directory walks and globs: streams with one JSON document in each chunk (T14). */
import { rpcMethods as contract } from "@caisson/api";
import { Readable } from "node:stream";
import type { agentContract } from "@caisson/protocol";
import { memoryPatience, method, type Call, type Methods } from "../call.ts";
import { outboundBytes } from "../streams/outbound.ts";

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
    return { streamId: await stream((signal) => call.agent.files.walk(request, { signal }), call) };
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
    return { streamId: await stream((signal) => call.agent.files.expandGlob(request, { signal }), call) };
  }),
};

type Walk = (signal: AbortSignal) => AsyncIterable<agentContract.WalkBatch>;

/** Memory of a batch of entries while it is taken apart, bytes. */
const batchBytes = 4 * 2 ** 20;

async function stream(walk: Walk, { connection, memory, replied, signal }: Call): Promise<number> {
  const hold = await memory.streams.take(outboundBytes + batchBytes, { signal, deadline: memoryPatience });
  const abort = new AbortController();
  const source = Readable.from(documents(walk, abort.signal));
  source.once("close", () => abort.abort());
  return connection.outbound.open(source, { hold, gate: replied });
}

/** The call starts with the first read. Connect reports an answer as broken when its stream closes before anyone reads it. */
async function* documents(walk: Walk, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const { entries } of walk(signal)) {
    for (const { path, name, isFile, isDirectory, isSymlink } of entries) {
      yield Buffer.from(JSON.stringify({ path, name, isFile, isDirectory, isSymlink }));
    }
  }
}
