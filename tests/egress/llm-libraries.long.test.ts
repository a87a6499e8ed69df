/**
 * The official libraries of two makers of language models, unchanged, with keys that the sandbox never holds: those in
 * JavaScript, and with `npm test -- --full` those in Python, whose start takes minutes in an emulated machine.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { Readable } from "node:stream";
import { Sandbox } from "@deno/sandbox";
import { descendants, fullVariable, within } from "@caisson/testing";
import { createTestAuthority } from "./world/authority.ts";
import { startLlmService, type LlmService } from "./world/llm-service.ts";
import { startEgressPlatform, type EgressPlatform } from "./world/platform.ts";
import { needlesFor, searchFiles, searchMemory } from "./world/search.ts";

const run = promisify(execFile);
const openai = {
  host: "api.openai.com",
  variable: "OPENAI_API_KEY",
  key: `sk-proj-${randomBytes(24).toString("base64url")}`,
};
const anthropic = {
  host: "api.anthropic.com",
  variable: "ANTHROPIC_API_KEY",
  key: `sk-ant-api03-${randomBytes(24).toString("base64url")}`,
};
const versions = { npm: ["openai@7", "@anthropic-ai/sdk@1"], pip: ["openai", "anthropic"] };

const programs = {
  "openai.mjs": `
import OpenAI from "openai";
const stream = await new OpenAI().chat.completions.create({ model: "stand-in", stream: true, messages: [{ role: "user", content: "Hi" }] });
for await (const part of stream) process.stdout.write((part.choices[0].delta.content ?? "") + (part.choices[0].finish_reason ? " " + part.system_fingerprint : ""));`,
  "anthropic.mjs": `
import Anthropic from "@anthropic-ai/sdk";
const stream = new Anthropic().messages.stream({ model: "stand-in", max_tokens: 9, messages: [{ role: "user", content: "Hi" }] });
stream.on("text", (text) => process.stdout.write(text));
console.log(" " + (await stream.finalMessage()).id);`,
  "openai.py": `
import sys; sys.path.insert(0, "/opt/llm/python")
from openai import OpenAI
for part in OpenAI().chat.completions.create(model="stand-in", stream=True, messages=[{"role": "user", "content": "Hi"}]):
    print((part.choices[0].delta.content or "") + (" " + part.system_fingerprint if part.choices[0].finish_reason else ""), end="")`,
  "anthropic.py": `
import sys; sys.path.insert(0, "/opt/llm/python")
from anthropic import Anthropic
with Anthropic().messages.stream(model="stand-in", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream:
    for text in stream.text_stream: print(text, end="")
    print(" " + stream.get_final_message().id)`,
};

let service: LlmService;
let platform: EgressPlatform;
let sandbox: Sandbox;

before(
  async () => {
    const authority = await createTestAuthority();
    service = await startLlmService(await authority.issue([openai.host, anthropic.host]));
    platform = await startEgressPlatform({
      authority,
      egress: { resolve: { [openai.host]: service.address, [anthropic.host]: service.address } },
    });
    const libraries = await packLibraries();
    sandbox = await Sandbox.create({
      allowNet: [openai.host, anthropic.host],
      memory: "2GiB",
      secrets: Object.fromEntries(
        [openai, anthropic].map(({ variable, host, key }) => [variable, { hosts: [host], value: key }]),
      ),
    });
    await sandbox.fs.writeFile(
      "/tmp/llm.tar",
      Readable.toWeb(createReadStream(libraries)) as ReadableStream<Uint8Array>,
    );
    await sandbox.sh`sudo mkdir -p /opt/llm && sudo tar -xf /tmp/llm.tar -C /opt/llm && rm /tmp/llm.tar`;
    await sandbox.sh`sudo chown -R app /opt/llm`;
    for (const [name, text] of Object.entries(programs)) await sandbox.fs.writeTextFile(`/opt/llm/${name}`, text);
  },
  { timeout: 300_000 },
);

after(async () => {
  await sandbox?.kill();
  await platform?.stop(15_000);
  await service?.close();
});

/** Installed once on the host, where a processor is fast, and kept with what depends on this host alone. */
async function packLibraries(): Promise<string> {
  const cache = join(
    process.env["CAISSON_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "caisson"),
    "tests",
  );
  const archive = join(
    cache,
    `llm-libraries-${[...versions.npm, ...versions.pip].join("-").replaceAll(/[^\w.-]/g, "_")}.tar`,
  );
  if (existsSync(archive)) return archive;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), "csn-llm-"));
  try {
    await run("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", work, ...versions.npm], {
      timeout: 240_000,
    });
    const target = [
      "--python-version",
      "3.13",
      "--platform",
      "manylinux2014_x86_64",
      "--only-binary",
      ":all:",
      "--target",
      join(work, "python"),
    ];
    await run("python3", ["-m", "pip", "install", "--quiet", ...target, ...versions.pip], { timeout: 240_000 });
    const half = `${archive}.${process.pid}`;
    await run("tar", ["-cf", half, "-C", work, "node_modules", "python"]);
    await rename(half, archive);
    return archive;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function execute(program: string, ...args: string[]): Promise<string> {
  const child = await sandbox.spawn(program, { args, cwd: "/opt/llm", stdout: "piped", stderr: "piped" });
  const { status, stdoutText, stderrText } = await within(240_000, args.join(" "), child.output());
  assert.ok(status.success, stderrText ?? "");
  return stdoutText ?? "";
}

describe("libraries of language models", { timeout: 900_000 }, () => {
  // The two makers side by side: most of a program's time is its start, on one processor.
  describe("by maker", { concurrency: 2 }, () => {
    const full = process.env[fullVariable] === "1";
    for (const [maker, files] of [
      [openai, full ? ["openai.mjs", "openai.py"] : ["openai.mjs"]],
      [anthropic, full ? ["anthropic.mjs", "anthropic.py"] : ["anthropic.mjs"]],
    ] as const) {
      describe(maker.host, { concurrency: 1 }, () => {
        const seen = () => service.seen.filter(({ host }) => host === maker.host);
        for (const file of files) {
          test(`${file}: a streamed answer, the real key there, the placeholder here`, async () => {
            const before = seen().length;
            const output = await execute(file.endsWith(".py") ? "python3" : "node", file);
            assert.match(output, /Hello from the stand-in/);
            const placeholder = await sandbox.env.get(maker.variable);
            assert.ok(placeholder !== undefined && placeholder !== maker.key);
            assert.ok(output.includes(placeholder), `the quoted key was not turned back: ${output}`);
            assert.equal(seen().length, before + 1);
            assert.equal(seen().at(-1)?.key, maker.key);
          });
        }
      });
    }
  });

  test(
    "neither key is in the machine's memory, nor anywhere in the installation's files",
    { timeout: 180_000 },
    async (context) => {
      const placeholder = (await sandbox.env.get(openai.variable)) ?? "";
      await sandbox.fs.writeTextFile("/home/app/placeholder", `${placeholder}\n`.repeat(2000));
      await sandbox.sh`sync`;
      // A program that holds the placeholder shows that the search would find it.
      const holder = await sandbox.spawn("python3", {
        args: ["-c", "import os, time; key = os.environ['OPENAI_API_KEY']; time.sleep(600)"],
        stdout: "null",
        stderr: "null",
      });
      holder.status.catch(() => undefined);
      await sandbox.sh`true`;
      const needles = new Map([
        ["the placeholder", Buffer.from(placeholder)],
        ...[openai, anthropic].flatMap(({ variable, key }) =>
          [...needlesFor(key)].map(([name, needle]): [string, Buffer] => [`${variable}: ${name}`, needle]),
        ),
      ]);
      const machines = descendants(platform.pid).filter(({ command }) => /^\S*qemu-system/.test(command));
      assert.equal(machines.length, 1, machines.map(({ command }) => command.slice(0, 80)).join("\n"));
      const inMemory = searchMemory(machines[0]?.pid ?? 0, needles);
      context.diagnostic(`${Math.round(inMemory.bytes / 1e6)} MB of memory searched`);
      assert.deepEqual([...inMemory.found], ["the placeholder"]);
      const onDisk = searchFiles(platform.home, needles);
      context.diagnostic(`${Math.round(onDisk.bytes / 1e6)} MB of files searched`);
      assert.deepEqual([...onDisk.found], ["the placeholder"]);
      await holder.kill("SIGKILL");
    },
  );

  test("neither key is in an argument, an environment, or the log", async () => {
    const { readFileSync } = await import("node:fs");
    const needles = new Set([openai, anthropic].flatMap(({ key }) => [...needlesFor(key).values()]));
    for (const { pid, command } of descendants(platform.pid)) {
      const text = Buffer.concat([readFileSync(`/proc/${pid}/cmdline`), readFileSync(`/proc/${pid}/environ`)]);
      assert.ok(![...needles].some((needle) => text.indexOf(needle) >= 0), command.slice(0, 100));
    }
    const log = Buffer.from(platform.output() + JSON.stringify(await platform.audit(sandbox.id)));
    assert.ok(![...needles].some((needle) => log.includes(needle)), "the log or the audit holds a key");
  });
});
