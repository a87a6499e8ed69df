/** The deploy example of the Python client's documentation, by both releases and both interfaces of it, to an answer over HTTPS. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { test } from "node:test";
import { Client } from "@deno/sandbox";
import { sharedPlatform } from "@caisson/testing";
import { pythonEnvironment } from "../conformance/runner/python-environment.ts";
import { visitor } from "./visit.ts";

const execute = promisify(execFile);
const { env, home } = await sharedPlatform();
const visit = visitor(home);
const example = join(import.meta.dirname, "python_example.py");

for (const version of ["0.10.0", "0.16.0"] as const)
  for (const mode of ["sync", "async"])
    test(`deno-sandbox ${version}, ${mode}`, { timeout: 600_000 }, async (t) => {
      const app = `py-${version.replaceAll(".", "-")}-${mode}-${process.pid}`;
      const client = new Client();
      try {
        const started = performance.now();
        const { stdout } = await execute(await pythonEnvironment(version), [example, mode, app], {
          env: { ...process.env, ...env, PYTHONDONTWRITEBYTECODE: "1" },
          timeout: 580_000,
        });
        const { id, logs, revision } = JSON.parse(stdout) as {
          id: string;
          logs: number;
          revision: { id: string; status: string };
        };
        assert.deepEqual([revision.id, revision.status], [id, "succeeded"]);
        assert.ok(logs > 0);
        const timelines = (await client.revisions.timelines(id)) as unknown as { domains: { domain: string }[] }[];
        const { status, body } = await visit(timelines[0]!.domains[0]!.domain);
        assert.deepEqual([status, body], [200, "Hi from sandbox.deploy()"]);
        t.diagnostic(`from the start of Python to the first 200: ${Math.round(performance.now() - started)} ms`);
      } finally {
        await client.apps.delete(app).catch(() => undefined);
      }
    });
