/** Templates in the cache: built at first need, shared by processes, removed when nobody has used them for a while. */
import { mkdir, readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { withLock } from "../host/lock.ts";
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
/** A template that no process has used for this long is of an image or version that is gone. */
const staleMs = 3 * 24 * 3600 * 1000;

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
    if (template === undefined) {
      template = this.#open(key, request);
      this.#known.set(key, template);
      // A failure is not remembered: the next request tries again.
      template.catch(() => this.#known.delete(key));
    }
    return template;
  }

  /** Removes templates that nobody uses any more, and what builders that died left behind. */
  async prune(): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const name of await readdir(this.#root).catch(() => [])) {
      const path = join(this.#root, name);
      const owner = /\.draft-(\d+)$/.exec(name)?.[1];
      const used = (await stat(join(path, templateFileNames.facts)).catch(() => undefined))?.mtimeMs;
      const stale =
        owner === undefined
          ? !name.endsWith(".lock") && !this.#known.has(name) && Date.now() - (used ?? 0) > staleMs
          : !running(Number(owner));
      if (!stale) continue;
      await rm(path, { recursive: true, force: true });
      removed.push(name);
    }
    return removed;
  }

  async #open(key: string, request: TemplateRequest): Promise<Template> {
    await mkdir(this.#root, { recursive: true });
    const directory = join(this.#root, key);
    const exists = () =>
      stat(directory).then(
        () => true,
        () => false,
      );
    if (!(await exists())) {
      const lock = { deadlineMs: buildDeadlineMs, ...(request.signal === undefined ? {} : { signal: request.signal }) };
      await withLock(`${directory}.lock`, lock, async () => {
        if (!(await exists())) await buildTemplate({ ...request, target: directory });
      });
    }
    const facts = await readFacts(directory);
    // Its age is that of its last use.
    const now = new Date();
    await utimes(join(directory, templateFileNames.facts), now, now);
    return { ...facts, key, files: templateFiles(directory) };
  }
}

function running(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
