/** Autobahn's suite for WebSocket servers, the public one. It is written in Python 2, and is installed once into the cache of this machine. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";

const execute = promisify(execFile);
const suite = "autobahntestsuite==25.10.1";

/** What the suite said of each case of each server: how it behaved, and how it closed. */
export type AutobahnVerdicts = ReadonlyMap<string, ReadonlyMap<string, string>>;

export type Autobahn = (
  servers: Readonly<Record<string, string>>,
  cases: readonly string[],
) => Promise<AutobahnVerdicts>;

/**
 * @returns runs cases (patterns such as `5.*`) against servers by their names and `ws:` URLs, one server after the other, and rejects
 *   after `limit` milliseconds; undefined where Python 2.7 is missing or the suite cannot be installed
 */
export async function autobahn(limit: number): Promise<Autobahn | undefined> {
  const python = await interpreter();
  const site = python && (await installed(python));
  if (python === undefined || site === undefined) return undefined;
  return async (servers, cases) => {
    const directory = await mkdtemp(join(tmpdir(), "csn-autobahn-"));
    try {
      const spec = {
        outdir: join(directory, "out"),
        servers: Object.entries(servers).map(([agent, url]) => ({ agent, url, options: { version: 18 } })),
        cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
      };
      await writeFile(join(directory, "spec.json"), JSON.stringify(spec));
      const args = ["-c", start, site, "-m", "fuzzingclient", "-s", join(directory, "spec.json")];
      // Of SIGTERM the suite makes an end without a report, which is no failure to it.
      await execute(python, args, { cwd: directory, timeout: limit, killSignal: "SIGKILL", maxBuffer: 1e8 });
      return verdicts(JSON.parse(await readFile(join(spec.outdir, "index.json"), "utf8")) as Report);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  };
}

/** How well: what the suite calls a failure is the worst. */
const ranks = ["FAILED", "WRONG CODE", "UNCLEAN", "NON-STRICT", "OK"];

/**
 * Cases that go worse at one server than at another, each with both verdicts. The suite waits a second and the like for an answer, which a busy
 * host misses; so a case counts when it goes worse three times.
 * @param servers URLs of the two
 */
export async function goWorse(
  run: Autobahn,
  servers: { readonly direct: string; readonly preview: string },
  cases: readonly string[],
): Promise<{ readonly worse: string[]; readonly counts: string }> {
  let counts: string | undefined;
  let [worse, pending]: [string[], readonly string[]] = [[], cases];
  for (let attempt = 0; attempt < 3 && pending.length > 0; attempt++) {
    const found = await run(servers, pending);
    const [direct, preview] = [found.get("direct")!, found.get("preview")!];
    counts ??= `direct: ${countsOf(direct)}; preview: ${countsOf(preview)}`;
    pending = [...direct.keys()].filter((id) => isWorse(preview.get(id), direct.get(id)!));
    worse = pending.map((id) => `${id}: ${preview.get(id)} (direct: ${direct.get(id)})`);
  }
  return { worse, counts: counts ?? "nothing was run" };
}

function isWorse(verdict: string | undefined, than: string): boolean {
  if (verdict === undefined) return true;
  const [of, other] = [verdict.split(", "), than.split(", ")];
  return of.some((word, index) => rankOf(word) < rankOf(other[index]!));
}

/** A verdict that this file does not know is a failure. "Informational" is not worse than anything: nothing was asked. */
const rankOf = (word: string) => (word === "INFORMATIONAL" ? ranks.length : ranks.indexOf(word));

function countsOf(verdicts: ReadonlyMap<string, string>): string {
  const counts = new Map<string, number>();
  for (const verdict of verdicts.values()) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  return [...counts].map(([verdict, count]) => `${count} ${verdict}`).join("; ");
}

type Report = Readonly<Record<string, Readonly<Record<string, { behavior: string; behaviorClose: string }>>>>;

function verdicts(report: Report): AutobahnVerdicts {
  return new Map(
    Object.entries(report).map(([agent, cases]) => [
      agent,
      new Map(Object.entries(cases).map(([id, { behavior, behaviorClose }]) => [id, `${behavior}, ${behaviorClose}`])),
    ]),
  );
}

/** Packages outside Python's own folder; some of them are found only by their `.pth` files. */
const start = `
import site, sys
directory = sys.argv.pop(1)
site.addsitedir(directory)
sys.path.insert(0, directory)
from autobahntestsuite.wstest import run
run()
`;

/** Also where pyenv has it and another version is chosen. */
async function interpreter(): Promise<string | undefined> {
  const ofPyenv = await execute("sh", ["-c", 'ls -d "$(pyenv root)"/versions/2.7*/bin/python2.7']).then(
    ({ stdout }) => stdout.split("\n").filter((path) => path !== ""),
    () => [],
  );
  for (const candidate of ["python2.7", "python2", ...ofPyenv])
    try {
      await execute(candidate, ["-c", "import sys, pip; assert sys.version_info[:2] == (2, 7)"]);
      return candidate;
    } catch {
      // Not there, or without pip: the next one.
    }
  return undefined;
}

async function installed(python: string): Promise<string | undefined> {
  const cache =
    process.env["CAISSON_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "caisson");
  const directory = join(cache, "test-tools", suite.replace("==", "-"));
  if (existsSync(directory)) return directory;
  const draft = `${directory}.${process.pid}`;
  await mkdir(join(cache, "test-tools"), { recursive: true });
  const args = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", draft, suite];
  try {
    await execute(python, args, { timeout: 600_000, maxBuffer: 1e8 });
    await rename(draft, directory);
    return directory;
  } catch {
    // No registry, or no compiler for its native parts; or another run was faster.
    await rm(draft, { recursive: true, force: true });
    return existsSync(directory) ? directory : undefined;
  }
}
