/** Where the repository and the cache are. The cache holds what depends only on its recipe and on this host. */
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

export const cache = resolve(
  process.env.CAISSON_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "caisson"),
);

export const logs = join(cache, "logs");
