/** Every method of the JSON-RPC interface, by name. */
import type { z } from "zod";
import { fileHandles } from "./file-handles.ts";
import { files } from "./files.ts";
import { fileWalks } from "./file-walks.ts";
import { others } from "./others.ts";
import { processes } from "./processes.ts";

export const rpcMethods = { ...files, ...fileHandles, ...fileWalks, ...processes, ...others };

export type RpcMethodName = keyof typeof rpcMethods;
/** What a client sends. */
export type RpcInput<M extends RpcMethodName> = z.input<(typeof rpcMethods)[M]["params"]>;
/** The same after the server's check. */
export type RpcParams<M extends RpcMethodName> = z.output<(typeof rpcMethods)[M]["params"]>;
/** What a client gets. */
export type RpcResult<M extends RpcMethodName> = z.output<(typeof rpcMethods)[M]["result"]>;
