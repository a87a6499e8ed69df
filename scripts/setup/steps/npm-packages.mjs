/** npm packages of this repository, exactly as its lock file says. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../command.mjs";
import { root } from "../paths.mjs";

/**
 * @typedef {Record<string, { version?: string, integrity?: string, link?: boolean, optional?: boolean, devOptional?: boolean }>} Packages
 * @param {Packages} locked `packages` of package-lock.json
 * @param {Packages} installed the same of node_modules/.package-lock.json, which npm keeps
 * @returns {string[]} what is not installed as locked
 */
export function outdated(locked, installed) {
  return Object.entries(locked)
    .filter(([path, entry]) => {
      if (!path.startsWith("node_modules/")) return false;
      const there = installed[path];
      // Optional packages of other platforms are never installed.
      if (there === undefined) return entry.optional !== true && entry.devOptional !== true;
      return entry.link !== true && (there.version !== entry.version || there.integrity !== entry.integrity);
    })
    .map(([path]) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length));
}

/** @returns {import("../runner.mjs").Step} */
export function npmPackages() {
  const locked = () => JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  return {
    name: "npm packages",
    needed() {
      const record = join(root, "node_modules/.package-lock.json");
      if (!existsSync(record) || !existsSync(join(root, "node_modules/.bin/node"))) return "not installed";
      const names = outdated(locked(), JSON.parse(readFileSync(record, "utf8")).packages);
      return names.length === 0
        ? null
        : `not as in package-lock.json: ${names.slice(0, 5).join(", ")}${names.length > 5 ? ", ..." : ""}`;
    },
    plan: () => [`npm install: ${Object.keys(locked()).length} packages into node_modules, Node.js 24 among them`],
    async run(progress) {
      // Not `npm ci`: it refuses a lock file that lacks optional packages of other platforms, which some registries lack
      // too. `install --no-save` follows the lock file, checks its hashes and leaves it alone.
      // The Node that runs the set-up may be older than packages allow; the one they will run on is installed here.
      await run(
        "npm",
        ["install", "--no-save", "--engine-strict=false", "--no-audit", "--no-fund", "--loglevel=http"],
        {
          cwd: root,
          log: "setup-npm-packages",
          progress,
          remedy: "Check that the npm registry can be reached (npm ping) and start again.",
        },
      );
    },
  };
}
