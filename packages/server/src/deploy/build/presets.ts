/** Package managers, as data: what installs and builds an app of a framework that does not say it itself. */
import type { AppConfig } from "@caisson/api";

/** The first file that exists decides. */
const managers: readonly {
  readonly file: string;
  readonly install: string;
  readonly run: (script: string) => string;
}[] = [
  { file: "deno.lock", install: "deno install --frozen", run: (script) => `deno task ${script}` },
  { file: "deno.json", install: "deno install", run: (script) => `deno task ${script}` },
  { file: "deno.jsonc", install: "deno install", run: (script) => `deno task ${script}` },
  {
    file: "pnpm-lock.yaml",
    install: "npx --yes pnpm install --frozen-lockfile",
    run: (script) => `npx --yes pnpm run ${script}`,
  },
  {
    file: "yarn.lock",
    install: "npx --yes yarn install --frozen-lockfile",
    run: (script) => `npx --yes yarn run ${script}`,
  },
  {
    file: "bun.lock",
    install: "npx --yes bun install --frozen-lockfile",
    run: (script) => `npx --yes bun run ${script}`,
  },
  {
    file: "bun.lockb",
    install: "npx --yes bun install --frozen-lockfile",
    run: (script) => `npx --yes bun run ${script}`,
  },
  { file: "package-lock.json", install: "npm ci", run: (script) => `npm run ${script}` },
  { file: "package.json", install: "npm install", run: (script) => `npm run ${script}` },
];

export interface BuildPlan {
  readonly install: string | undefined;
  readonly build: string | undefined;
  /** See `prefetchOf`. */
  readonly prefetch?: string | undefined;
}

/** @param files names in the directory of the app */
export function planOf(config: AppConfig, files: ReadonlySet<string>): BuildPlan {
  const ofFramework = Boolean(config.framework);
  const manager = managers.find(({ file }) => files.has(file));
  const command = (given: string | null | undefined, standard: string | undefined) =>
    (given === null || given === undefined || given.trim() === "" ? standard : given) || undefined;
  return {
    install: command(config.install, ofFramework ? manager?.install : undefined),
    build: command(config.build, ofFramework ? manager?.run("build") : undefined),
  };
}
