/** Frameworks and package managers, as data: what installs, builds and runs an app that does not say it itself. */
import type { AppConfig, RuntimeConfig } from "@caisson/api";

type Framework = NonNullable<AppConfig["framework"]>;

interface Preset {
  /** Runs the script or task of this name. */
  readonly build: string;
  readonly runtime: RuntimeConfig;
}

const dynamic = (entrypoint: string, args: string[] = []): RuntimeConfig => ({ type: "dynamic", entrypoint, args });

/** Where each framework puts what it builds: from its documentation for Deno Deploy, or for a server of Node.js where it has none. */
export const presets: Readonly<Record<Exclude<Framework, "">, Preset>> = {
  nextjs: { build: "build", runtime: dynamic("node_modules/next/dist/bin/next", ["start"]) },
  astro: { build: "build", runtime: { type: "static", cwd: "dist" } },
  nuxt: { build: "build", runtime: dynamic(".output/server/index.mjs") },
  remix: { build: "build", runtime: dynamic("node_modules/@remix-run/serve/dist/cli.js", ["build/server/index.js"]) },
  solidstart: { build: "build", runtime: dynamic(".output/server/index.mjs") },
  tanstackstart: { build: "build", runtime: dynamic(".output/server/index.mjs") },
  sveltekit: { build: "build", runtime: dynamic("build/index.js") },
  fresh: { build: "build", runtime: dynamic("_fresh/server.js") },
  lume: { build: "build", runtime: { type: "static", cwd: "_site" } },
};

/** The first file that exists decides. */
const managers: readonly { readonly file: string; readonly install: string; readonly run: (script: string) => string }[] = [
  { file: "deno.lock", install: "deno install --frozen", run: (script) => `deno task ${script}` },
  { file: "deno.json", install: "deno install", run: (script) => `deno task ${script}` },
  { file: "deno.jsonc", install: "deno install", run: (script) => `deno task ${script}` },
  {
    file: "pnpm-lock.yaml",
    install: "npx --yes pnpm install --frozen-lockfile",
    run: (script) => `npx --yes pnpm run ${script}`,
  },
  { file: "yarn.lock", install: "npx --yes yarn install --frozen-lockfile", run: (script) => `npx --yes yarn run ${script}` },
  { file: "bun.lock", install: "npx --yes bun install --frozen-lockfile", run: (script) => `npx --yes bun run ${script}` },
  { file: "bun.lockb", install: "npx --yes bun install --frozen-lockfile", run: (script) => `npx --yes bun run ${script}` },
  { file: "package-lock.json", install: "npm ci", run: (script) => `npm run ${script}` },
  { file: "package.json", install: "npm install", run: (script) => `npm run ${script}` },
];

export interface BuildPlan {
  readonly install: string | undefined;
  readonly build: string | undefined;
  readonly runtime: RuntimeConfig | undefined;
}

/** @param files names in the directory of the app */
export function planOf(config: AppConfig, files: ReadonlySet<string>): BuildPlan {
  const preset = config.framework ? presets[config.framework] : undefined;
  const manager = managers.find(({ file }) => files.has(file));
  const command = (given: string | null | undefined, standard: string | undefined) =>
    (given === null || given === undefined || given.trim() === "" ? standard : given) || undefined;
  return {
    install: command(config.install, preset === undefined ? undefined : manager?.install),
    build: command(config.build, preset === undefined ? undefined : manager?.run(preset.build)),
    runtime: config.runtime ?? preset?.runtime,
  };
}
