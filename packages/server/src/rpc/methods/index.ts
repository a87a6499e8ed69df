/** Methods that need only the sandbox (wire contract, section 4). Other slices register their own. */
import type { Methods } from "../call.ts";
import { abort } from "./abort.ts";
import { deno } from "./deno.ts";
import { environment } from "./environment.ts";
import { fetchMethods } from "./fetch.ts";
import { fileContents } from "./file-contents.ts";
import { fileHandles } from "./file-handles.ts";
import { files } from "./files.ts";
import { fileWalks } from "./file-walks.ts";
import { processes } from "./processes.ts";
import { repl } from "./repl.ts";

export const methods: Methods = {
  ...abort,
  ...files,
  ...fileContents,
  ...fileHandles,
  ...fileWalks,
  ...processes,
  ...environment,
  ...deno,
  ...repl,
  ...fetchMethods,
};
