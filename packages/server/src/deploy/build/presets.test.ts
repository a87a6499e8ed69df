import assert from "node:assert/strict";
import { test } from "node:test";
import { planOf } from "./presets.ts";

const plan = (config: Parameters<typeof planOf>[0], ...files: string[]) => planOf(config, new Set(files));

test("without a preset, only what the app says is run", () => {
  assert.deepEqual(plan({}, "package.json"), { install: undefined, build: undefined });
  assert.equal(plan({ install: "make deps", build: " " }).install, "make deps");
  assert.equal(plan({ install: "make deps", build: " " }).build, undefined);
});

test("the lockfile decides the package manager, and the app's own commands come first", () => {
  assert.deepEqual(plan({ framework: "astro" }, "package.json", "package-lock.json"), {
    install: "npm ci",
    build: "npm run build",
  });
  assert.match(
    plan({ framework: "nuxt" }, "package.json", "pnpm-lock.yaml").install!,
    /pnpm install --frozen-lockfile/,
  );
  assert.equal(plan({ framework: "fresh" }, "deno.json").build, "deno task build");
  assert.equal(plan({ framework: "astro", build: "make" }, "package.json").build, "make");
});
