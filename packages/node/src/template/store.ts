/** Templates in the cache: built at first need, shared by processes, removed when nobody has used them for a while. */
import { mkdir, readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { withFileLock } from "@caisson/linux";
import {
  type BuildOptions,
  buildTemplate,
  readFacts,
  type TemplateFacts,
  templateFileNames,
  templateFiles,
} from "./build.ts";
import { templateKey } from "./key.ts";
import type { TemplateFiles } from "../driver/driver.ts";

export interface Template extends TemplateFacts {
  readonly key: string;
  readonly files: TemplateFiles;
}

export type TemplateRequest = Omit<BuildOptions, "target">;

const buildDeadlineMs = 180_000;
/** A template that no process has used for this long belongs to an old image or version. */
const staleMs = 3 * 24 * 3600 * 1000;
/** Templates of other configurations and images that are kept all the same. Each takes some hundred megabytes. */
const keptOthers = 4;

export class TemplateStore {
  readonly #root: string;
  readonly #known = new Map<string, Promise<Template>>();

  /** @param cache directory for artifacts that depend on their recipe and this host alone */
  constructor(cache: string) {
    this.#root = join(cache, "templates");
  }

  /** The template, built if nobody has yet. Callers that ask at the same time share one build. */
  async get(request: TemplateRequest): Promise<Template> {
    const key = await templateKey(request.driver, request);
    let template = this.#known.get(key);
    // Another process may have pruned it.
    if (template === undefined || !(await exists(join(this.#root, key)))) {
      template = this.#open(key, request);
      this.#known.set(key, template);
      // A failure is not remembered: the next request tries again.
      template.catch(() => this.#known.delete(key));
    }
    return template;
  }

  /** Removes templates that nobody uses any more, and drafts of processes that ended during a build. */
  async prune(): Promise<readonly string[]> {
    const removed: string[] = [];
    const others: { name: string; used: number }[] = [];
    for (const name of await readdir(this.#root).catch(() => [])) {
      const builder = /\.draft-(\d+)$/.exec(name)?.[1];
      if (builder !== undefined && !running(Number(builder))) removed.push(name);
      if (builder !== undefined || name.endsWith(".lock") || this.#known.has(name)) continue;
      const facts = await stat(join(this.#root, name, templateFileNames.facts)).catch(() => undefined);
      others.push({ name, used: facts?.mtimeMs ?? 0 });
    }
    others.sort((a, b) => b.used - a.used);
    // Times of files are wall clock. A step of hours only keeps a template longer, or removes one that is built again when needed.
    // oxlint-disable-next-line no-restricted-properties
    const oldest = Date.now() - staleMs;
    removed.push(...others.filter(({ used }, rank) => rank >= keptOthers || used < oldest).map(({ name }) => name));
    for (const name of removed) await rm(join(this.#root, name), { recursive: true, force: true });
    return removed;
  }

  async #open(key: string, request: TemplateRequest): Promise<Template> {
    await mkdir(this.#root, { recursive: true });
    const directory = join(this.#root, key);
    if (!(await exists(directory))) {
      const lock = { deadlineMs: buildDeadlineMs, ...(request.signal === undefined ? {} : { signal: request.signal }) };
      await withFileLock(`${directory}.lock`, lock, async () => {
        if (!(await exists(directory))) await buildTemplate({ ...request, target: directory });
      });
    }
    const facts = await readFacts(directory);
    // The time of the file is the time of the last use.
    const now = new Date();
    await utimes(join(directory, templateFileNames.facts), now, now);
    return { ...facts, key, files: { ...templateFiles(request.driver), directory } };
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function running(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
