/**
 * Many small files: one by one through the file calls, against one tar stream. `node bench/small-files.ts [--files 20000]`
 *
 * On Node the client leaves every file open that it has uploaded, so a process of its own uploads each few thousand.
 */
import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { parseArgs, promisify } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { report } from "./report.ts";

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "20000" },
    json: { type: "boolean" },
    // What the processes that upload are told.
    upload: { type: "string" },
    sandbox: { type: "string" },
  },
});
const files = Number(values.files);
const target = "/home/app/one-by-one";
const share = 4000;
const perDirectory = 200;

if (values.upload !== undefined && values.sandbox !== undefined) {
  const sandbox = await Sandbox.connect({ id: values.sandbox });
  await sandbox.fs.upload(values.upload, target);
  await sandbox.close();
  process.exit();
}

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
    const part = `part-${Math.floor(index / share)}`;
    const directory = join(here, "tree", part, String(Math.floor(index / perDirectory)));
    if (index % perDirectory === 0) await mkdir(directory, { recursive: true });
    await writeFile(join(directory, String(index)), content);
  }
  const sandbox = await Sandbox.create({ timeout: "30m" });
  await sandbox.fs.mkdir(target);
  await sandbox.fs.mkdir("/home/app/stream");
  const upload = await seconds(async () => {
    for (const part of await readdir(join(here, "tree"))) {
      const work = [import.meta.filename, "--upload", join(here, "tree", part), "--sandbox", sandbox.id];
      await promisify(execFile)(process.execPath, work, { timeout: 600_000 });
    }
  });
  let walked = 0;
  const walk = await seconds(async () => {
    for await (const entry of sandbox.fs.walk(target)) if (entry.isFile) walked++;
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
