/** Directories, sockets for children, identities of processes. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { lstat, mkdtemp, readdir, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { createMachineDirectories, prepareDirectories, removeMachineDirectories } from "./directories.ts";
import { listenForChild } from "./listening-socket.ts";
import { identifyProcess, isAlive, killProcess } from "@caisson/linux";

let base: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "caisson-runtime-"));
});
afterEach(() => rm(base, { recursive: true, force: true }));

test("a deep home keeps its sockets in a short directory, the same one each time", async () => {
  const deep = join(base, "d".repeat(90));
  const first = await prepareDirectories(deep, base);
  assert.deepEqual(await prepareDirectories(deep, base), first);
  assert.ok(first.run.startsWith(base) && !first.run.startsWith(deep));
  const machine = await createMachineDirectories(first);
  const socket = await listenForChild(join(machine.run, "control.sock"));
  await socket.release();
  assert.equal((await lstat(first.run)).mode & 0o777, 0o700);
  await removeMachineDirectories(machine);
  await assert.rejects(lstat(machine.disks), { code: "ENOENT" });
});

test("a machine gets both of its directories or none", async () => {
  const node = await prepareDirectories(base, base);
  await rm(node.disks, { recursive: true });
  await assert.rejects(createMachineDirectories(node), { code: "ENOENT" });
  assert.deepEqual(await readdir(node.run), []);
});

test("a child serves the socket that we bound, after we let go of it", async () => {
  const path = join(base, "child.sock");
  const socket = await listenForChild(path);
  const script = `require("net").createServer((c) => c.end("hello")).listen({ fd: 3 })`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "ignore", "inherit", socket.descriptor] });
  // Connects before the child listens to it: the kernel holds the connection.
  const connection = createConnection(path);
  await socket.release();
  let text = "";
  for await (const chunk of connection) text += String(chunk);
  assert.equal(text, "hello");
  assert.ok((await lstat(path)).isSocket(), "the path stays");
  const identity = await identifyProcess(child.pid ?? 0);
  assert.ok(identity && (await isAlive(identity)));
  assert.ok(!(await isAlive({ ...identity, startTime: "1" })), "another process with that id is not it");
  assert.ok(await killProcess(identity));
  assert.ok(!(await isAlive(identity)));
});
