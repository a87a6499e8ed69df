/** What runs an app of a framework, as data: where each puts what it builds, from its documentation. */
import type { AppConfig, RuntimeConfig } from "@caisson/api";

type Framework = Exclude<NonNullable<AppConfig["framework"]>, "">;

const dynamic = (entrypoint: string, args: string[] = []): RuntimeConfig => ({ type: "dynamic", entrypoint, args });

export const frameworkRuntimes: Readonly<Record<Framework, RuntimeConfig>> = {
  nextjs: dynamic("node_modules/next/dist/bin/next", ["start"]),
  astro: { type: "static", cwd: "dist" },
  nuxt: dynamic(".output/server/index.mjs"),
  remix: dynamic("node_modules/@remix-run/serve/dist/cli.js", ["build/server/index.js"]),
  solidstart: dynamic(".output/server/index.mjs"),
  tanstackstart: dynamic(".output/server/index.mjs"),
  sveltekit: dynamic("build/index.js"),
  fresh: dynamic("_fresh/server.js"),
  lume: { type: "static", cwd: "_site" },
};
