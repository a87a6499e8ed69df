/** Dependencies of programs for Deno, downloaded once at build time: an instance then starts without network. */
import type { AppConfig } from "@caisson/api";
import type { TreeEntry } from "@caisson/protocol";
import { dependencies, programOf, runtimeOf, within, type Program } from "../../serving/program.ts";
import { keptDependencies as kept } from "./cache.ts";

/** Files that say that a program has dependencies which Deno downloads. */
const signs = ["deno.json", "deno.jsonc", "deno.lock"];

/**
 * The command, to be run in the directory of the app. Undefined: Deno does not run it, or nothing says that there is something to download.
 * @param tree the files before the build
 */
export function prefetchOf(config: AppConfig, tree: readonly TreeEntry[]): string | undefined {
  const paths = new Set(tree.map(({ path }) => path));
  if (!signs.some((name) => paths.has(name))) return undefined;
  const program = plannedProgram(config, tree, paths);
  if (program?.command !== "deno") return undefined;
  // With the same lockfile, those of the last build are the right ones. They are kept by the one that was deployed: Deno may add to it.
  return [
    `lock=$(sha256sum deno.lock 2>/dev/null)`,
    `if [ -n "$lock" ] && [ "$lock" = "$(cat ${kept}/lock 2>/dev/null)" ]; then cp -a ${kept}/files ${dependencies}; known=1; fi`,
    `DENO_DIR="$PWD/${dependencies}" deno cache ${quoted(`${program.cwd}/${program.file}`)} || exit`,
    `if [ -n "$lock" ] && [ -z "$known" ]; then`,
    `  rm -rf ${kept}; mkdir -p ${kept} && cp -a ${dependencies} ${kept}/files && echo "$lock" > ${kept}/lock`,
    `fi; true`,
  ].join("\n");
}

/** The build may make the entrypoint. Undefined: a static site, or a fault that the deployment reports later. */
function plannedProgram(
  config: AppConfig,
  tree: readonly TreeEntry[],
  paths: ReadonlySet<string>,
): Program | undefined {
  const runtime = runtimeOf(config);
  if (runtime?.type !== "dynamic") return undefined;
  try {
    const path = within(`${runtime.cwd ?? ""}/${runtime.entrypoint}`.replace(/^\//, ""));
    const made: TreeEntry = { kind: "file", path, digest: "", bytes: 0, executable: false };
    return programOf(config, paths.has(path) ? tree : [...tree, made]);
  } catch {
    return undefined;
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
