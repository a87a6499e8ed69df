/** Whole files: reading into a reply, writing from a parameter or a stream. */
import { rpcMethods as contract, type RpcParams } from "@caisson/api";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { agentContract } from "@caisson/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { method, type Call, type Methods } from "../call.ts";
import { OperationFailure } from "../errors.ts";
import { Base64Json } from "../frames.ts";

/** Content up to this size is part of the call to the agent. Larger content is a stream. Bytes. */
const inlineBytes = 1024 * 1024;
/** A stream with at most this many bytes that ends within this time (milliseconds) is written with one call to the agent instead of three. */
const smallStream = { bytes: 64 * 1024, patience: 50 };

type WriteParams = RpcParams<"writeFile">;

const describeRead = (params: { path: string }) => `readfile '${params.path}'`;
const describeWrite = (params: { path: string }) => `writefile '${params.path}'`;

export const fileContents: Methods = {
  readFile: method(
    contract.readFile,
    async ({ path }, call) => Base64Json.value(await readWhole(path, call)),
    describeRead,
  ),
  readTextFile: method(
    contract.readTextFile,
    async ({ path }, call) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(await readWhole(path, call)),
    describeRead,
  ),
  writeFile: method(contract.writeFile, (params, call) => write(params, "base64", call), describeWrite),
  writeTextFile: method(contract.writeTextFile, (params, call) => write(params, "utf8", call), describeWrite),
};

async function readWhole(path: string, { agent, signal, replyBytes }: Call): Promise<Uint8Array> {
  const { content } = await agent.files.readFile({ path, inlineLimit: inlineBytes }, { signal });
  if (content.case === "data") return content.value;
  if (content.case === undefined) return Buffer.alloc(0);
  const chunks: Buffer[] = [];
  let size = 0;
  const source = agent.readStream(content.value);
  const stop = () => source.destroy(signal.reason as Error);
  signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > replyBytes) throw tooLarge(path, replyBytes);
      chunks.push(chunk);
    }
  } finally {
    signal.removeEventListener("abort", stop);
    source.destroy();
  }
  return Buffer.concat(chunks);
}

function tooLarge(path: string, limit: number): OperationFailure {
  const message = `File too large (os error 27): readfile '${path}' does not fit into one message of ${limit} bytes; open it and read it in parts`;
  return new OperationFailure({ constructorName: "Error", message, code: "EFBIG" });
}

async function write(params: WriteParams, encoding: "base64" | "utf8", call: Call): Promise<void> {
  const { agent, signal, connection } = call;
  const { path, options = {} } = params;
  const request: MessageInitShape<typeof agentContract.WriteFileRequestSchema> = {
    path,
    append: options.append ?? false,
    create: options.create ?? true,
    createNew: options.createNew ?? false,
    ...(options.mode === undefined ? {} : { mode: options.mode }),
  };
  const inbound = params.contentStreamId === undefined ? undefined : connection.inbound.claim(params.contentStreamId);
  const content = inbound === undefined ? Buffer.from(params.content ?? "", encoding) : undefined;
  if (content !== undefined && content.length <= inlineBytes) {
    await agent.files.writeFile({ ...request, data: content }, { signal });
    return;
  }
  const source = inbound ?? Readable.from([content]);
  try {
    const small = await inbound?.whole(smallStream.bytes, smallStream.patience, signal);
    if (small !== undefined) {
      await agent.files.writeFile({ ...request, data: small }, { signal });
      return;
    }
    const { stream } = await agent.files.writeFileBegin(request, { signal });
    const target = agent.writeStream(stream);
    // When both fail, the agent's error has the reason; the stream's error is only that it broke.
    const [copied, finished] = await Promise.allSettled([
      pipeline(source, target, { signal }),
      agent.files.writeFileFinish({ stream }, { signal }).catch((error: unknown) => {
        source.destroy();
        throw error;
      }),
    ]);
    if (copied.status === "rejected" && copied.reason instanceof OperationFailure) throw copied.reason;
    if (finished.status === "rejected") throw finished.reason;
    if (copied.status === "rejected") throw copied.reason;
  } finally {
    source.destroy();
  }
}
