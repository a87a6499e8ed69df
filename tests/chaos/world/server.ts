/** The platform's process, which is killed and started again on one home and fixed ports. Its log outlives it. */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { type ClientEnvironment, readEnvFile, until, within } from "@caisson/testing";

export const repository = join(import.meta.dirname, "../../..");

export interface ServerPlace {
  readonly home: string;
  /** Gets everything that it prints. */
  readonly log: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Where images and templates are. */
const cacheVariables = Object.fromEntries(
  ["CAISSON_CACHE", "XDG_CACHE_HOME"].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }),
);

export class ServerProcess {
  readonly #place: ServerPlace;
  #child: ChildProcess | undefined;
  #ended: Promise<string> = Promise.resolve("it was not started");
  /** Signals that we sent: an end after one of them was meant. */
  #killed = false;
  /** Ends that nobody asked for. */
  readonly unexpected: string[] = [];
  env: ClientEnvironment | undefined;
  /** Checkout that the next start runs. */
  repository = repository;

  constructor(place: ServerPlace) {
    this.#place = place;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** @throws Error when it does not run */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error("The server does not run.");
    return pid;
  }

  /** Begins a start and does not wait for it. */
  spawn(): void {
    if (this.#child !== undefined) throw new Error("The server runs.");
    const out = openSync(this.#place.log, "a");
    const root = this.repository;
    const args = ["--max-semi-space-size=8", "--max-old-space-size=2000", join(root, "packages/platform/src/main.ts")];
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: {
        PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"]}`,
        HOME: process.env["HOME"] ?? "/",
        ...cacheVariables,
        CAISSON_HOME: this.#place.home,
        CAISSON_SSH_PORT: "0",
        ...this.#place.environment,
      },
      stdio: ["ignore", out, out],
      // Signals to the group of the driver, such as from a terminal, are the driver's alone.
      detached: true,
    });
    closeSync(out);
    this.#child = child;
    this.#killed = false;
    this.#ended = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        if (this.#child === child) this.#child = undefined;
        const how = `it ended with ${code === null ? `signal ${signal}` : `status ${code}`}`;
        if (!this.#killed) this.unexpected.push(how);
        resolve(how);
      });
    });
  }

  /**
   * Waits until a begun start is done.
   * @param limit milliseconds
   * @throws Error with the end of the log when it ended instead, or is not ready in time
   */
  async ready(limit: number): Promise<void> {
    const child = this.#child;
    const needle = `"pid":${child?.pid}`;
    const path = join(this.#place.home, "env");
    const endpoint = `http://127.0.0.1:${this.#place.environment["CAISSON_PORT"]}/healthz`;
    try {
      await until(limit, "the server's health", async () => {
        if (this.#child !== child || child === undefined)
          throw new Error(`The server did not start: ${await this.#ended}.`);
        // It writes its process id into this file when it is ready.
        const text = await readFile(path, "utf8").catch(() => "");
        if (!text.includes(`CAISSON_PID='${child.pid}'`)) return false;
        return (await fetch(endpoint, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined))?.ok;
      });
      this.env = await readEnvFile(path);
    } catch (error) {
      throw new Error(`${String(error)}\n${tailOf(this.#place.log, needle)}`, { cause: error });
    }
  }

  async start(limit = 60_000): Promise<void> {
    this.spawn();
    await this.ready(limit);
  }

  signal(signal: NodeJS.Signals): void {
    if (signal === "SIGKILL" || signal === "SIGTERM") this.#killed = true;
    this.#child?.kill(signal);
  }

  /** SIGKILL, and waits until the kernel has taken it away. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await within(5_000, "the end of the killed server", this.#ended);
  }

  /** SIGTERM: ends every sandbox. @throws Error when it has not ended after `limit` ms */
  async stop(limit = 30_000): Promise<string> {
    this.signal("SIGTERM");
    return within(limit, "the server's end after SIGTERM", this.#ended);
  }

  /** SIGUSR2: ends sessions and leaves the other sandboxes running. @throws Error when it has not ended after `limit` ms */
  async leave(limit: number): Promise<string> {
    this.#killed = true;
    this.#child?.kill("SIGUSR2");
    return within(limit, "the server's end after SIGUSR2", this.#ended);
  }

  /** For a start that is expected to fail: how it ended. The end is then no surprise. @throws Error when it goes on */
  async refused(limit: number): Promise<string> {
    this.#killed = true;
    return within(limit, "the server's refusal to start", this.#ended);
  }
}

/** The last lines of a log, of one process when it wrote any. */
export function tailOf(path: string, needle = "", lines = 30): string {
  const all = readFileSync(path, "utf8").split("\n").filter(Boolean);
  const own = all.filter((line) => line.includes(needle));
  return (own.length > 0 ? own : all).slice(-lines).join("\n");
}

/** A port that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
    probe.once("error", reject);
  });
}
