/** The API document is valid, and what the server answers to generated requests is what the document says. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { sharedPlatform } from "@caisson/testing";
import { pythonWith } from "../conformance/runner/python-environment.ts";

const execute = promisify(execFile);
const checks = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
];

const { env } = await sharedPlatform();
const url = `${env.DENO_DEPLOY_ENDPOINT}/openapi.json`;
let python: string;
let directory: string;
before(async () => {
  python = await pythonWith("schemathesis==4.32.5", "openapi-spec-validator==0.9.0");
  directory = await mkdtemp(join(tmpdir(), "caisson-document-"));
});
after(() => rm(directory, { recursive: true, force: true }));

test("the document is valid OpenAPI", { timeout: 60_000 }, async () => {
  const path = join(directory, "openapi.json");
  await writeFile(path, await (await fetch(url)).text());
  const { stdout } = await execute(python, ["-m", "openapi_spec_validator", path], { timeout: 50_000 });
  assert.match(stdout, /OK/);
});

test("answers are as documented, and none is a fault of the server", { timeout: 600_000 }, async () => {
  const token = `Authorization: Bearer ${env.DENO_DEPLOY_TOKEN}`;
  // A live stream does not end, so its answer cannot be checked like this.
  const stream = ["--exclude-path", "/api/v1/audit/stream"];
  const options = ["--checks", checks.join(","), "--phases", "examples,coverage,fuzzing", "-n", "50", ...stream];
  const { stdout } = await execute(
    python,
    // Its interpreter is named, since the environment has been moved since it was made.
    [join(dirname(python), "schemathesis"), "run", url, "-H", token, ...options, "--continue-on-failure"],
    { cwd: directory, timeout: 590_000, maxBuffer: 2 ** 26 },
  ).catch((error: Error & { stdout?: string }) => {
    throw new Error(error.stdout?.slice(-6000) ?? error.message, { cause: error });
  });
  const [, generated, passed] = /(\d+) generated, (\d+) passed/.exec(stdout) ?? [];
  assert.ok(Number(generated) > 500, stdout.slice(-2000));
  assert.equal(passed, generated, stdout.slice(-2000));
});
