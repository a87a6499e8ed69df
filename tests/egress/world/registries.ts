/** The package registries that this host itself uses, asked from its own tools: none is named in this repository. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Registry {
  /** For `allowNet`. */
  readonly hosts: readonly string[];
  /** Variables that make the tool in the sandbox use the same registry. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Registries {
  readonly npm: Registry;
  readonly pip: Registry;
  readonly apt: Registry;
}

/** @throws Error when a tool is not there or does not answer */
export async function registriesOfThisHost(): Promise<Registries> {
  const [npm, pip, apt] = await Promise.all([npmRegistry(), pipRegistry(), aptSites()]);
  return { npm, pip, apt };
}

async function npmRegistry(): Promise<Registry> {
  const registry = (await output("npm", ["config", "get", "registry"])).trim();
  return { hosts: [new URL(registry).host], env: { NPM_CONFIG_REGISTRY: registry } };
}

async function pipRegistry(): Promise<Registry> {
  const [configured, builtIn] = await Promise.all([
    output("python3", ["-m", "pip", "config", "list"]),
    output("python3", [
      "-c",
      "from pip._internal.models.index import PyPI; print(PyPI.simple_url, PyPI.file_storage_domain)",
    ]),
  ]);
  const [index = "", files = ""] = builtIn.trim().split(" ");
  const own = /^[^=]*\.index-url='(.+)'$/m.exec(configured)?.[1];
  return { hosts: [new URL(own ?? index).host, files], env: { PIP_INDEX_URL: own ?? index } };
}

async function aptSites(): Promise<Registry> {
  const sites = (await output("apt-get", ["indextargets", "--format", "$(SITE)"])).trim().split("\n");
  return { hosts: [...new Set(sites.map((site) => new URL(site).host))], env: {} };
}

async function output(program: string, args: readonly string[]): Promise<string> {
  return (await run(program, args, { timeout: 30_000, encoding: "utf8" })).stdout;
}
