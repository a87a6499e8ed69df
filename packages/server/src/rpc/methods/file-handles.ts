/** Open files. A client's number is valid on its connection only, see `ConnectionState.handles`. */
import { rpcMethods as contract, type RpcParams } from "@caisson/api";
import { agentContract } from "@caisson/protocol";
import { memoryPatience, method, type Call, type Methods } from "../call.ts";
import { OperationFailure } from "../errors.ts";
import { BytesJson } from "../frames.ts";
import { toFileInfo } from "./file-info.ts";

/** Largest piece of one call to the agent, bytes. */
const pieceBytes = 1024 * 1024;
/** Open files of one connection: the JavaScript client's `download` leaves one open for each file. */
const maxHandles = 4096;

const { HandleSeekRequest_Whence: Whence } = agentContract;
const whences = [Whence.START, Whence.CURRENT, Whence.END];

export const fileHandles: Methods = {
  open: method(
    contract.open,
    ({ path, options = { read: true } }, call) => open(path, options, call),
    (params) => `open '${params.path}'`,
  ),
  create: method(
    contract.create,
    (params, call) => open(params.path, { read: true, write: true, truncate: true, create: true }, call),
    (params) => `open '${params.path}'`,
  ),
  fileClose: method(contract.fileClose, async ({ fileHandleId }, call) => {
    const handle = find(fileHandleId, call);
    call.connection.handles.delete(fileHandleId);
    await call.agent.files.close({ handle });
  }),
  fileRead: method(contract.fileRead, async ({ fileHandleId, length }, call) => {
    const request = { handle: find(fileHandleId, call), length: Math.min(Math.trunc(length), pieceBytes) };
    if (request.length === 0) return { data: "" };
    call.hold(await call.memory.content.take(request.length, { signal: call.signal, deadline: memoryPatience }));
    const { data, eof } = await call.agent.files.read(request, { signal: call.signal });
    return data.length === 0 && eof ? { data: null } : BytesJson.data(data);
  }),
  fileWrite: method(contract.fileWrite, async ({ fileHandleId, data }, call) => {
    const handle = find(fileHandleId, call);
    let written = 0;
    let asked = 0;
    for (const bytes of call.long?.base64() ?? [Buffer.from(data, "base64")]) {
      asked += bytes.length;
      written += await writeAll(handle, bytes, call);
      if (written < asked) break;
    }
    // The client would repeat a write of nothing for ever.
    if (written === 0 && asked > 0)
      throw new OperationFailure({ constructorName: "WriteZero", message: "failed to write whole buffer", code: null });
    return { bytesWritten: written };
  }),
  fileSeek: method(contract.fileSeek, async (params, call) => {
    const request = {
      handle: find(params.fileHandleId, call),
      offset: params.offset,
      whence: whences[params.whence]!,
    };
    return { position: Number((await call.agent.files.seek(request, { signal: call.signal })).position) };
  }),
  fileStat: method(contract.fileStat, async ({ fileHandleId }, call) => {
    return toFileInfo(await call.agent.files.handleStat({ handle: find(fileHandleId, call) }, { signal: call.signal }));
  }),
  fileSync: method(contract.fileSync, ({ fileHandleId }, call) => sync(fileHandleId, false, call)),
  fileSyncData: method(contract.fileSyncData, ({ fileHandleId }, call) => sync(fileHandleId, true, call)),
  // The Python client calls the length `size`.
  fileTruncate: method(contract.fileTruncate, async ({ fileHandleId, len, size }, call) => {
    await call.agent.files.handleTruncate(
      { handle: find(fileHandleId, call), length: len ?? size ?? 0n },
      { signal: call.signal },
    );
  }),
  fileLock: method(contract.fileLock, async ({ fileHandleId, exclusive }, call) => {
    await call.agent.files.lock(
      { handle: find(fileHandleId, call), exclusive: exclusive ?? false },
      { signal: call.signal },
    );
  }),
  fileUnlock: method(contract.fileUnlock, async ({ fileHandleId }, call) => {
    await call.agent.files.unlock({ handle: find(fileHandleId, call) }, { signal: call.signal });
  }),
  fileUtime: method(contract.fileUtime, async ({ fileHandleId, atime, mtime }, call) => {
    await call.agent.files.handleUtime(
      { handle: find(fileHandleId, call), atimeNanos: atime, mtimeNanos: mtime },
      { signal: call.signal },
    );
  }),
};

async function open(
  path: string,
  { mode, ...flags }: NonNullable<RpcParams<"open">["options"]>,
  { agent, connection, signal }: Call,
): Promise<{ fileHandleId: number }> {
  if (connection.handles.size >= maxHandles) {
    throw new OperationFailure({
      constructorName: "Error",
      message: `Too many open files (os error 24): open '${path}'`,
      code: "EMFILE",
    });
  }
  const given = Object.fromEntries(Object.entries(flags).map(([key, value]) => [key, value ?? false]));
  const { handle } = await agent.files.open({ path, ...given, ...(mode === undefined ? {} : { mode }) }, { signal });
  const fileHandleId = connection.nextHandle();
  connection.handles.set(fileHandleId, handle);
  return { fileHandleId };
}

/** @returns the bytes that the file took: fewer than all when its disk is full */
async function writeAll(handle: bigint, bytes: Buffer, { agent, signal }: Call): Promise<number> {
  let written = 0;
  while (written < bytes.length) {
    const piece = bytes.subarray(written, written + pieceBytes);
    const answer = await agent.files.write({ handle, data: piece }, { signal });
    if (answer.written === 0 || answer.written > piece.length) break;
    written += answer.written;
  }
  return written;
}

async function sync(fileHandleId: number, dataOnly: boolean, call: Call): Promise<void> {
  await call.agent.files.sync({ handle: find(fileHandleId, call), dataOnly }, { signal: call.signal });
}

function find(fileHandleId: number, { connection }: Call): bigint {
  const handle = connection.handles.get(fileHandleId);
  if (handle === undefined)
    throw new OperationFailure({ constructorName: "BadResource", message: "Bad resource ID", code: "EBADF" });
  return handle;
}
