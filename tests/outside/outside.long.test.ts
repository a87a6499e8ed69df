/** Suites of other projects over the official Python client, by adapters of at most 60 lines. Each failure is known and explained. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { sharedPlatform } from "@caisson/testing";
import { pythonWith } from "../conformance/runner/python-environment.ts";

const { env } = await sharedPlatform();

interface Suite {
  readonly file: string;
  readonly packages: readonly string[];
  /** Tests that must pass at least. */
  readonly passing: number;
  /** By test: why it fails. */
  readonly known: Readonly<Record<string, string>>;
}

const client = "deno-sandbox==0.16.0";
const suites: readonly Suite[] = [
  {
    file: "langchain_sandbox.py",
    packages: [client, "langchain-tests==1.1.9", "deepagents==0.7.32", "pytest"],
    passing: 79,
    known: Object.fromEntries(
      [
        "test_glob",
        "test_glob_basic_pattern",
        "test_glob_with_directories",
        "test_glob_hidden_files_explicitly",
        "test_glob_with_character_class",
        "test_glob_with_question_mark",
        "test_write_existing_file_fails",
      ].map((name) => [
        name,
        "deepagents 0.7.32 answers otherwise than these tests expect, over a local process as well",
      ]),
    ),
  },
  {
    file: "inspect_sandbox.py",
    packages: [client, "inspect-ai==0.3.285", "pytest-asyncio", "pytest"],
    passing: 42,
    known: {
      test_exec_env_vars: "the client changes the names of variables: it turns all keys into camel case",
      test_exec_large_command:
        "the parameters of one call can have 1 MiB; larger content goes through a file or a stream",
    },
  },
];

for (const { file, packages, passing, known } of suites)
  test(file, { timeout: 3_600_000 }, async () => {
    const path = join(import.meta.dirname, file);
    assert.ok((await readFile(path, "utf8")).split("\n").length <= 61, "the adapter has more than 60 lines");
    const options = ["-o", "asyncio_mode=auto", "-p", "no:cacheprovider", "-rfE", "--tb=short", "-q"];
    const child = spawn(await pythonWith(...packages), ["-m", "pytest", ...options, path], {
      env: { ...process.env, ...env, PYTHONDONTWRITEBYTECODE: "1" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const output = await text(child.stdout);
    const failed = [...output.matchAll(/^(?:FAILED|ERROR) \S*::(\S+)/gm)].map(([, name]) => name!);
    assert.deepEqual(failed.toSorted(), Object.keys(known).toSorted(), output.slice(-20_000));
    assert.ok(Number(/(\d+) passed/.exec(output)?.[1] ?? 0) >= passing, output.slice(-2_000));
  });
