/** What an instance runs, and the environment that the platform adds. */
import type { AppConfig, RuntimeConfig } from "@caisson/api";
import { CaissonError, type TreeEntry } from "@caisson/protocol";
import { preludeOption } from "./cron/prelude.ts";
import { frameworkRuntimes } from "./frameworks.ts";
import { preload } from "./marks.ts";

/** Where the files of a revision are in its instances. */
export const appDirectory = "/app/src";
/** Below it: what Deno downloaded at build time. */
export const dependencies = ".deno_dir";

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Its main module, relative to `cwd`. */
  readonly file: string;
}

/** Of a revision that names neither a runtime nor a framework, as in the deployments of a sandbox. */
const standard: RuntimeConfig = { type: "dynamic", entrypoint: "main.ts" };

/** Its own, or its framework's. */
export function runtimeOf({ runtime, framework }: AppConfig): RuntimeConfig | undefined {
  return runtime ?? (framework ? frameworkRuntimes[framework] : standard);
}

/** @throws CaissonError `invalid_argument` when the revision does not say what to run */
export function programOf(config: AppConfig, tree: readonly TreeEntry[]): Program {
  const runtime = runtimeOf(config);
  if (runtime?.type !== "dynamic")
    throw new CaissonError(
      "invalid_argument",
      "The revision does not say what to run. Set `config.runtime` to `dynamic` with an `entrypoint`.",
    );
  const cwd = within(runtime.cwd ?? "");
  const path = [cwd, within(runtime.entrypoint)].filter((part) => part !== "").join("/");
  const kinds = new Map(tree.map((entry) => [entry.path, entry.kind]));
  const kind = kinds.get(path);
  if (kind === undefined || kind === "directory")
    throw new CaissonError(
      "invalid_argument",
      `The entrypoint ${JSON.stringify(path.slice(0, 200))} is not among the deployed files.`,
    );
  // The name of a file may look like an option.
  const file = `./${within(runtime.entrypoint)}`;
  const args = runtime.args ?? [];
  const directory = cwd === "" ? appDirectory : `${appDirectory}/${cwd}`;
  return isForNode(path, kinds)
    ? { command: "node", args: ["--import", preload, file, ...args], cwd: directory, file }
    : {
        command: "deno",
        args: ["run", "-A", "--preload", preload, preludeOption(), file, ...args],
        cwd: directory,
        file,
      };
}

/** Deno runs programs for Node.js as well. Node.js itself runs those that say nothing of Deno and are JavaScript, as commands of packages are. */
function isForNode(entrypoint: string, kinds: ReadonlyMap<string, TreeEntry["kind"]>): boolean {
  const ofDeno = ["deno.json", "deno.jsonc", "deno.lock"].some((name) => kinds.has(name));
  return kinds.has("package.json") && !ofDeno && /(\.[cm]?js|(^|\/)[^./]+)$/.test(entrypoint);
}

/** @returns the path without `.` and empty parts @throws CaissonError `invalid_argument` when it leads out of the app */
export function within(path: string): string {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (path.startsWith("/") || names.includes(".."))
    throw new CaissonError(
      "invalid_argument",
      `The path ${JSON.stringify(path.slice(0, 200))} must be relative to the app's directory and must not leave it.`,
    );
  return names.join("/");
}

export interface Identity {
  readonly org: { readonly id: string; readonly slug: string };
  readonly app: { readonly id: string; readonly slug: string };
  readonly revisionId: string;
  /** Absent in builds. */
  readonly timeline?: string;
}

/** What apps print becomes lines of logs, which people search: without colours, unless the app sets this otherwise (no-color.org). */
export const withoutColours = { NO_COLOR: "1" };

/** What Deno Deploy tells deployed code about itself. */
export function platformVariables({ org, app, revisionId, timeline }: Identity): Record<string, string> {
  return {
    DENO_DEPLOY: "true",
    DENO_DEPLOY_ORG_ID: org.id,
    DENO_DEPLOY_ORG_SLUG: org.slug,
    DENO_DEPLOY_APP_ID: app.id,
    DENO_DEPLOY_APP_SLUG: app.slug,
    DENO_DEPLOY_BUILD_ID: revisionId,
    DENO_DEPLOYMENT_ID: revisionId,
    ...(timeline === undefined ? {} : { DENO_TIMELINE: timeline }),
  };
}
