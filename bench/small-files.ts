/** Many small files: one by one through the file calls, against one tar stream. `node bench/small-files.ts [--files 20000]` */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { report } from "./report.ts";

const { values } = parseArgs({ options: { files: { type: "string", default: "20000" }, json: { type: "boolean" } } });
const files = Number(values.files);

const platform = await startPlatform({ config: { pool: { size: 1 } } });
Object.assign(process.env, platform.env);
const here = await mkdtemp(join(tmpdir(), "caisson-bench-"));

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

try {
  const content = Buffer.alloc(1024, "x");
  for (let index = 0; index < files; index++) {
    const directory = join(here, `tree/${Math.floor(index / 200)}`);
    if (index % 200 === 0) await mkdir(directory, { recursive: true });
    await writeFile(join(directory, String(index)), content);
  }
  const sandbox = await Sandbox.create({ timeout: "30m" });
  await sandbox.fs.mkdir("/home/app/one-by-one");
  await sandbox.fs.mkdir("/home/app/stream");
  // Directory by directory: the client opens all files of a tree at once, more than a process may have open by default.
  const upload = await seconds(async () => {
    for (const directory of await readdir(join(here, "tree")))
      await sandbox.fs.upload(join(here, "tree", directory), "/home/app/one-by-one");
  });
  let walked = 0;
  const walk = await seconds(async () => {
    for await (const entry of sandbox.fs.walk("/home/app/one-by-one")) if (entry.isFile) walked++;
  });
  if (walked !== files) throw new Error(`${walked} files instead of ${files}`);
  const stream = await seconds(async () => {
    const archive = spawn("tar", ["-C", here, "-cf", "-", "tree"], { stdio: ["ignore", "pipe", "inherit"] });
    const child = await sandbox.spawn("tar", { args: ["-C", "/home/app/stream", "-xf", "-"], stdin: "piped" });
    await (Readable.toWeb(archive.stdout) as ReadableStream<Uint8Array<ArrayBuffer>>).pipeTo(child.stdin!);
    if (!(await child.status).success) throw new Error("tar failed in the sandbox");
  });
  report({
    "files of 1 KiB": files,
    "upload one by one, s": upload,
    "upload, files a second": files / upload,
    "walk, s": walk,
    "one tar stream, s": stream,
    "one by one / one stream": upload / stream,
  });
  await sandbox.kill();
} finally {
  await rm(here, { recursive: true, force: true });
  await platform.stop();
}
