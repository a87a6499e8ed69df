/**
 * The Python client waits 10 s for a sandbox and then shows nothing but a timeout. So it gets an answer before: when others are started
 * first, and when its own sandbox is slow to start. Machines that start are stopped by SIGSTOP, so that it does not depend on speed.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { availableParallelism } from "node:os";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { descendants, startPlatform, within, type PlatformProcess } from "@caisson/testing";
import { pythonEnvironment } from "../conformance/runner/python-environment.ts";

/** Prints how the create ended. */
const script = `
import time
from deno_sandbox import DenoDeploy
began = time.monotonic()
try:
    with DenoDeploy().sandbox.create() as sandbox:
        print("created", sandbox.id)
except Exception as error:
    body = getattr(getattr(error, "response", None), "body", b"")
    print(type(error).__name__, str(error), body.decode())
`;
const limit = 300_000;
let platform: PlatformProcess;
let python: string;

before(async () => {
  python = await pythonEnvironment("0.16.0");
  platform = await startPlatform({ config: { pool: { size: 0 }, logLevel: "warn" } });
  Object.assign(process.env, platform.env);
});
after(() => platform?.stop(60_000));

const create = async () => (await promisify(execFile)(python, ["-c", script], { timeout: limit })).stdout.trim();
const machines = () => descendants(platform.pid).filter(({ command }) => /^\S*qemu-system/.test(command));

/** Stops machines as soon as they begin to start. @returns what lets them go on */
function stopMachines(): { readonly stopped: Set<number>; goOn: () => void } {
  const stopped = new Set<number>();
  const watch = setInterval(() => {
    for (const { pid } of machines())
      if (!stopped.has(pid)) {
        process.kill(pid, "SIGSTOP");
        stopped.add(pid);
      }
  }, 10);
  const goOn = () => {
    clearInterval(watch);
    for (const pid of stopped)
      try {
        process.kill(pid, "SIGCONT");
      } catch {
        // The server has ended it.
      }
  };
  return { stopped, goOn };
}

/** What a Python client gets while nothing starts that others have asked for. */
async function askBehind(others: number): Promise<string> {
  const { stopped, goOn } = stopMachines();
  const before = Array.from({ length: others }, () =>
    Sandbox.create().then(
      (sandbox) => sandbox.kill(),
      () => undefined,
    ),
  );
  try {
    while (stopped.size < others) await sleep(20);
    return await create();
  } finally {
    goOn();
    await within(limit, "the others", Promise.all(before));
  }
}

const refused = /^InvalidStatus server rejected WebSocket connection: HTTP 503 .*was not ready after 9 s.*Try again/s;

test("it is told in time that others are started first", { timeout: limit }, async () => {
  assert.match(await askBehind(availableParallelism()), refused);
});

test("it is told in time that its own sandbox is slow to start", { timeout: limit }, async () => {
  assert.match(await askBehind(0), refused);
});

test("then sandboxes start as before, and nothing is left of the refused ones", { timeout: limit }, async () => {
  await using sandbox = await Sandbox.create();
  assert.equal(await sandbox.sh`echo works`.text(), "works\n");
  await sandbox.kill();
  while (machines().length > 0) await sleep(100);
});
