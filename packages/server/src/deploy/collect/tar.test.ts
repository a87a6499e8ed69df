import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, mkdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import fc from "fast-check";
import { readTar, tarOptions } from "./tar.ts";

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function entries(source: AsyncIterable<Buffer>): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const entry of readTar(source))
    found.push(entry.kind === "file" ? { ...entry, content: await text(entry.content) } : entry);
  return found;
}

test("what GNU tar writes is read: long names, links, modes, special files, files with holes", async () => {
  const directory = await mkdtemp(join(tmpdir(), "caisson-tar-"));
  try {
    const long = "ä".repeat(60);
    await mkdir(join(directory, long));
    await writeFile(join(directory, long, "main.ts"), "x".repeat(1000));
    await writeFile(join(directory, "run"), "#!", { mode: 0o755 });
    await symlink("t".repeat(200), join(directory, "link"));
    spawnSync("mkfifo", [join(directory, "pipe")]);
    await writeFile(join(directory, "holes"), "");
    await truncate(join(directory, "holes"), 100_000);
    const args = [...tarOptions, "--sort=name", "-C", directory, "-cf", "-", "."];
    const found = await entries(spawn("tar", args).stdout as AsyncIterable<Buffer>);
    assert.deepEqual(found, [
      { kind: "directory", path: "." },
      { kind: "file", path: "./holes", size: 100_000, executable: false, content: "\0".repeat(100_000) },
      { kind: "symlink", path: "./link", target: "t".repeat(200) },
      { kind: "file", path: "./run", size: 2, executable: true, content: "#!" },
      { kind: "directory", path: `./${long}` },
      { kind: "file", path: `./${long}/main.ts`, size: 1000, executable: false, content: "x".repeat(1000) },
    ]);
    const archive = spawnSync("tar", args).stdout;
    assert.deepEqual(await entries(inPieces(archive, 7)), found);
    await assert.rejects(entries(inPieces(archive.subarray(0, 3000), 999)), { code: "guest_error", message: /no end/ });
    const pax = spawnSync("tar", ["--format=pax", ...args.slice(1)]).stdout;
    await assert.rejects(entries(inPieces(pax, 512)), { code: "guest_error", message: /type/ });
    // Any change of a byte: what it then says, or a refusal. Never something else.
    await fc.assert(
      fc.asyncProperty(fc.nat(archive.length - 1), fc.nat(255), async (at, value) => {
        const changed = Buffer.from(archive);
        changed[at] = value;
        await entries(inPieces(changed, 600)).catch((error: { code?: string }) =>
          assert.equal(error.code, "guest_error"),
        );
      }),
      { numRuns: 200 },
    );
  } finally {
    await rm(directory, { recursive: true });
  }
});
