/** Whole files: reading into a reply, writing from a parameter or a stream. */
import { rpcMethods as contract, type RpcParams } from "@caisson/api";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { agentContract } from "@caisson/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { memoryPatience, method, type Call, type Methods } from "../call.ts";
import { OperationFailure } from "../errors.ts";
import { BytesJson } from "../frames.ts";

/** Content up to this size is part of the call to the agent. Larger content is a stream. Bytes. */
const inlineBytes = 1024 * 1024;
/** Memory that reading takes beside the content: the stream's window, and the answer while it is decoded. Bytes. */
const readingBytes = 512 * 1024;
/** How much memory a file takes at a time that grows while it is read, bytes. */
const growth = 4 * 2 ** 20;
/** A stream with at most this many bytes that ends within this time (milliseconds) is written with one call to the agent instead of three. */
const smallStream = { bytes: 64 * 1024, patience: 50 };

type WriteParams = RpcParams<"writeFile">;

const describeRead = (params: { path: string }) => `readfile '${params.path}'`;
const describeWrite = (params: { path: string }) => `writefile '${params.path}'`;

export const fileContents: Methods = {
  readFile: method(
    contract.readFile,
    async ({ path }, call) => BytesJson.base64(...(await readWhole(path, call))),
    describeRead,
  ),
  readTextFile: method(
    contract.readTextFile,
    async ({ path }, call) => BytesJson.text(...(await readWhole(path, call))),
    describeRead,
  ),
  writeFile: method(contract.writeFile, (params, call) => write(params, "base64", call), describeWrite),
  writeTextFile: method(contract.writeTextFile, (params, call) => write(params, "utf8", call), describeWrite),
};

/** The memory for the content is taken before it is read, and given back when the reply has been sent. */
async function readWhole(path: string, call: Call): Promise<readonly Uint8Array[]> {
  const { agent, signal, memory, replyBytes } = call;
  const small = await memory.content.take(inlineBytes + readingBytes, { signal, deadline: memoryPatience });
  call.hold(small);
  const { content } = await agent.files.readFile({ path, inlineLimit: inlineBytes }, { signal });
  if (content.case === undefined) return [];
  if (content.case === "data") {
    small.shrinkTo(content.value.length);
    return [content.value];
  }
  // Its size is known only now. What is taken is given back first: nobody waits for more of what others wait for.
  agent.readStream(content.value).destroy();
  small.release();
  const { size } = await agent.files.stat({ path, noFollow: false }, { signal });
  if (size > replyBytes) throw tooLarge(path, replyBytes);
  const wanted = Number(size) + growth + readingBytes;
  const whole = await memory.content.take(Math.min(wanted, memory.content.limit), { signal, deadline: memoryPatience });
  call.hold(whole);
  const again = await agent.files.readFile({ path, inlineLimit: inlineBytes }, { signal });
  if (again.content.case === "data") return [again.content.value];
  if (again.content.case === undefined) return [];
  return await readAll(path, agent.readStream(again.content.value), Number(size) + growth, call);
}

/** @param expected bytes for which memory was taken; a file that grows takes more, if there is some */
async function readAll(path: string, source: Readable, expected: number, call: Call): Promise<readonly Uint8Array[]> {
  const { signal, memory, turn, replyBytes } = call;
  const chunks: Buffer[] = [];
  let size = 0;
  let held = expected;
  const stop = () => source.destroy(signal.reason as Error);
  signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > replyBytes) throw tooLarge(path, replyBytes);
      for (; size > held; held += growth) {
        const more = memory.content.try(growth);
        if (more === undefined) throw tooLarge(path, held);
        call.hold(more);
      }
      chunks.push(chunk);
      if (!turn.hasTime()) await turn.time();
    }
  } finally {
    signal.removeEventListener("abort", stop);
    source.destroy();
  }
  return chunks;
}

function tooLarge(path: string, limit: number): OperationFailure {
  const message = `File too large (os error 27): readfile '${path}' does not fit into one message of ${limit} bytes; open it and read it in parts`;
  return new OperationFailure({ constructorName: "Error", message, code: "EFBIG" });
}

/** Decodes each piece only when there is time for it. */
async function* paced(pieces: Iterable<Buffer>, { turn }: Call): AsyncGenerator<Buffer> {
  for (const piece of pieces) {
    yield piece;
    if (!turn.hasTime()) await turn.time();
    turn.enter();
  }
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
  const long = encoding === "base64" ? call.long?.base64() : call.long?.utf8();
  const content = inbound === undefined && long === undefined ? Buffer.from(params.content ?? "", encoding) : undefined;
  if (content !== undefined && content.length <= inlineBytes) {
    await agent.files.writeFile({ ...request, data: content }, { signal });
    return;
  }
  const source = inbound ?? Readable.from(long === undefined ? [content] : paced(long, call));
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
