/**
 * The tests that the authors of the Python client publish with its source, unchanged, with today's release of the client: apps, revisions,
 * timelines, deployments, sandboxes, volumes. They are in no package, so whoever wants to run them names the folder of a checkout. Left out:
 * what needs the internet, and what asks for an exposed port without trust in the certificate authority of this installation.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { promisify } from "node:util";
import { sharedPlatform } from "@caisson/testing";
import { pythonWith } from "./runner/python-environment.ts";

const execute = promisify(execFile);
/** Holds the `test_*.py` of the client's repository. */
const variable = "CAISSON_PYTHON_CLIENT_TESTS";
const directory = process.env[variable];
const plugins = join(import.meta.dirname, "patience");
const packages = ["deno-sandbox==0.16.0", "pytest==9.0.2", "pytest-asyncio==1.3.0", "pytest-timeout==2.4.0"];
const leftOut = ["test_fetch", "test_spawn_async", "test_spawn_sync", "test_expose_http", "http_ready"];
/** As in the project's own configuration. */
const settings = ["asyncio_mode=auto", "asyncio_default_fixture_loop_scope=session", "timeout=20"];

test("the published tests of the Python client", { timeout: 1_800_000 }, async (t) => {
  if (directory === undefined) {
    t.skip(`${variable} names no folder with the tests of the client`);
    return;
  }
  const { env } = await sharedPlatform();
  const python = await pythonWith(...packages);
  const args = ["-m", "pytest", "--quiet", "-p", "patience", "-p", "no:cacheprovider", "-c", "/dev/null"];
  for (const setting of settings) args.push("-o", setting);
  args.push("--rootdir", directory, "-k", leftOut.map((name) => `not ${name}`).join(" and "), directory);
  const run = await execute(python, args, {
    env: { ...process.env, ...env, PYTHONPATH: plugins, PYTHONDONTWRITEBYTECODE: "1" },
    timeout: 1_790_000,
  }).catch((error: { stdout?: string; stderr?: string }) => assert.fail(`${error.stdout}\n${error.stderr}`));
  const summary = run.stdout.trim().split("\n").at(-1)!;
  t.diagnostic(summary);
  assert.match(summary, /^94 passed, 8 deselected/);
});
