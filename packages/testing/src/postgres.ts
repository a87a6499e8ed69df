/** A PostgreSQL server of its own in a temporary directory, from Debian's package. */
import { execFile, type ChildProcess, spawn } from "node:child_process";
import { chown, globSync, mkdtempSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const execute = promisify(execFile);

export interface TestPostgres {
  /** `postgres://...` */
  readonly url: string;
  /** Stops all its processes (SIGSTOP): connections stay open and nothing answers, as behind a network that drops everything. */
  freeze(): void;
  /** After `freeze`. */
  thaw(): void;
  /** Ends the server; connections are closed. Its data stay. */
  interrupt(): Promise<void>;
  /** After `interrupt`: starts it on the same port. */
  resume(): Promise<void>;
  /** Ends the server and removes its data. */
  stop(): Promise<void>;
}

/** @throws Error when PostgreSQL is not installed or does not start */
export async function startPostgres(): Promise<TestPostgres> {
  const bin = globSync("/usr/lib/postgresql/*/bin/postgres")
    .toSorted()
    .at(-1)
    ?.replace(/\/postgres$/, "");
  if (bin === undefined) throw new Error("PostgreSQL is not installed: apt-get install postgresql");
  const directory = mkdtempSync(join(tmpdir(), "caisson-postgres-"));
  const user = await unprivileged();
  if (user !== undefined) await promisify(chown)(directory, user.uid, user.gid);
  const data = join(directory, "data");
  const as = user === undefined ? { cwd: directory } : { ...user, cwd: directory };
  let server: ChildProcess | undefined;
  const signalAll = (signal: NodeJS.Signals) => {
    const pid = server?.pid;
    if (pid === undefined) return;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
    for (const each of [pid, ...children.map(Number)])
      try {
        process.kill(each, signal);
      } catch (error) {
        // A child may end between the two lines.
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
  };
  const interrupt = async () => {
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const ended = new Promise((resolve) => server?.once("exit", resolve));
    signalAll("SIGCONT");
    server.kill("SIGINT");
    await ended;
  };
  const stop = async () => {
    await interrupt();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await execute(join(bin, "initdb"), ["-D", data, "-U", "caisson", "-A", "trust", "-E", "UTF8", "--no-sync"], as);
    const port = await freePort();
    const options = [
      "-D",
      data,
      "-p",
      String(port),
      "-k",
      directory,
      "-c",
      "listen_addresses=127.0.0.1",
      "-c",
      "fsync=off",
    ];
    const start = async () => {
      const started = (server = spawn(join(bin, "postgres"), options, { ...as, stdio: ["ignore", "ignore", "pipe"] }));
      let output = "";
      started.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
      for (let waited = 0; !output.includes("ready to accept connections"); waited += 50) {
        if (started.exitCode !== null || waited > 20_000) throw new Error(`PostgreSQL did not start: ${output}`);
        await sleep(50);
      }
    };
    await start();
    return {
      url: `postgres://caisson@127.0.0.1:${port}/postgres`,
      freeze: () => signalAll("SIGSTOP"),
      thaw: () => signalAll("SIGCONT"),
      interrupt,
      resume: start,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** PostgreSQL refuses to run as root; Debian's package brings a user for it. */
async function unprivileged(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const id = async (flag: string) => Number((await execute("id", [flag, "postgres"])).stdout);
  return { uid: await id("-u"), gid: await id("-g") };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
    probe.once("error", reject);
  });
}
