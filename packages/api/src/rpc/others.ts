/** Environment, network, and cancelling calls (wire contract 4.5 to 4.8). */
import { z } from "zod";
import {
  abortId,
  environment,
  flag,
  noParams,
  nothing,
  optional,
  path,
  pid,
  streamId,
  type MethodContract,
} from "./common.ts";

export const fetchParams = z.object({
  url: z.string().max(65_536),
  method: z.string().max(64).default("GET"),
  headers: z.array(z.tuple([z.string(), z.string()])).default([]),
  redirect: z.enum(["follow", "manual"]).default("follow"),
  abortId,
  bodyStreamId: optional(streamId),
  pid: optional(pid),
});

const fetchResult = z.object({
  status: z.number(),
  statusText: z.string(),
  headers: z.array(z.tuple([z.string(), z.string()])),
  bodyStreamId: streamId.nullable(),
});

const exposeParams = z
  .object({ domain: z.string().max(300), port: optional(z.int().min(1).max(65_535)), pid: optional(pid) })
  .refine((params) => (params.port === undefined) !== (params.pid === undefined), "needs either `port` or `pid`");

/** Most extensions of one editor. */
const maxExtensions = 32;
/** Largest `editorSettings` as JSON, characters. */
const maxSettings = 256 * 1024;

const vscodeParams = z.object({
  path: path.min(1).default("/home/app"),
  env: optional(environment),
  /** `publisher.name`, `publisher.name@version`, or the path of a .vsix file in the sandbox. */
  extensions: z
    .array(path.min(1).max(512).regex(/^[^-]/, "must not begin with a hyphen"))
    .max(maxExtensions)
    .nullish()
    .transform((value) => value ?? []),
  preview: optional(z.url({ protocol: /^https?$/ }).max(4096)),
  disableStopButton: flag,
  editorSettings: optional(
    z
      .record(z.string(), z.unknown())
      .refine(
        (value) => JSON.stringify(value).length <= maxSettings,
        `has more than ${maxSettings} characters as JSON`,
      ),
  ),
});

const vscodeResult = z.object({ pid, port: z.int(), stdoutStreamId: streamId, stderrStreamId: streamId });

export const others = {
  /** Never fails: the JavaScript client does not handle an error here (T10). */
  abort: { params: z.object({ abortId: z.number() }), result: nothing },
  /** Null: the variable is not set. */
  envGet: { params: z.object({ key: z.string() }), result: z.string().nullable() },
  envSet: { params: z.object({ key: z.string(), value: z.string() }), result: nothing },
  envDelete: { params: z.object({ key: z.string() }), result: nothing },
  envToObject: { params: noParams, result: z.record(z.string(), z.string()) },
  fetch: { params: fetchParams, result: fetchResult },
  exposeHttp: { params: exposeParams, result: nothing },
  /** Answers when the editor listens. The streams are its output. */
  vscode: { params: vscodeParams, result: vscodeResult },
} satisfies Record<string, MethodContract>;
