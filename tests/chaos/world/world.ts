/** An installation under test with everything around it: disk, server, clients, an upstream host, and the history of what happened. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ClientEnvironment, processesNaming } from "@caisson/testing";
import { createTestAuthority } from "../../egress/world/authority.ts";
import { Listener } from "../../egress/world/listener.ts";
import { History } from "../model/history.ts";
import { Crew } from "../traffic/crew.ts";
import { upstreamHost } from "../traffic/messages.ts";
import { abandonedHomes, createHomeDisk, type HomeDisk, removeHome } from "./home-disk.ts";
import { monitors } from "./machines.ts";
import { freePort, ServerProcess } from "./server.ts";

/** Limits of the installation. Small, so that quotas matter. */
export const limits = { sandboxes: 12, volumes: 24, volumeBytes: 24 * 300e6 } as const;

const faketime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

export interface WorldOptions {
  /** Gets the history, the log and, when a round fails, the rest. */
  readonly folder: string;
  /** Names of the client processes. */
  readonly clients: readonly string[];
  /** Bytes. */
  readonly diskBytes?: number;
  readonly pool?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

export class World {
  readonly home: string;
  readonly history: History;
  readonly server: ServerProcess;
  readonly crew: Crew;
  readonly upstream: Listener;
  readonly ports: { readonly api: number; readonly gateway: number };
  /** Whether clocks of the server can be set. */
  readonly clockFile: string | undefined;
  readonly folder: string;
  readonly disk: HomeDisk;
  readonly #exit = () => this.#removeAtExit();

  private constructor(
    parts: Pick<World, "disk" | "folder" | "history" | "server" | "crew" | "upstream" | "ports" | "clockFile">,
  ) {
    this.disk = parts.disk;
    this.home = parts.disk.home;
    this.folder = parts.folder;
    this.history = parts.history;
    this.server = parts.server;
    this.crew = parts.crew;
    this.upstream = parts.upstream;
    this.ports = parts.ports;
    this.clockFile = parts.clockFile;
    process.once("exit", this.#exit);
  }

  /** Makes it and starts the server. */
  static async create(options: WorldOptions): Promise<World> {
    const { folder } = options;
    mkdirSync(folder, { recursive: true });
    removeAbandoned();
    const disk = createHomeDisk(options.diskBytes ?? 2 * 2 ** 30);
    const authority = await createTestAuthority();
    const identity = await authority.issue([upstreamHost]);
    const upstream = await Listener.start({ name: upstreamHost, identity });
    const ca = join(folder, "upstream-ca.pem");
    writeFileSync(ca, authority.certificatePem);
    const config = {
      sandbox: { memoryDefault: 768, maxTimeout: 24 * 3600, sessionGrace: 15 },
      pool: { size: options.pool ?? 0, standing: 0, minFreeMemory: 0 },
      limits: { developmentConcurrentSandboxes: limits.sandboxes },
      volumes: { maxCount: limits.volumes, maxBytes: limits.volumeBytes, reclaimAfter: 0, minFreeDisk: 64 * 2 ** 20 },
      egress: { resolve: { [upstreamHost]: upstream.address }, extraCa: [ca] },
    };
    writeFileSync(join(disk.home, "config.json"), JSON.stringify(config));
    const ports = { api: await freePort(), gateway: await freePort() };
    const clockFile = existsSync(faketime) ? join(folder, "clock") : undefined;
    if (clockFile !== undefined) writeFileSync(clockFile, "+0\n");
    const server = new ServerProcess({
      home: disk.home,
      log: join(folder, "server.log"),
      environment: {
        CAISSON_PORT: String(ports.api),
        CAISSON_HTTPS_PORT: String(ports.gateway),
        ...(clockFile !== undefined && clockEnvironment(clockFile)),
        ...options.environment,
      },
    });
    const history = new History(join(folder, "history.jsonl"));
    const crew = new Crew(history, options.clients, join(folder, "clients.log"));
    const world = new World({ disk, folder, history, server, crew, upstream, ports, clockFile });
    try {
      await server.start(240_000);
      Object.assign(process.env, world.env);
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  /** What clients need. @throws Error before the first start */
  get env(): ClientEnvironment {
    if (this.server.env === undefined) throw new Error("The server has not started yet.");
    return this.server.env;
  }

  /** Kills the server and says so to the model: sessions end with it. */
  async killServer(): Promise<void> {
    await this.server.kill();
    this.history.add({ type: "server-killed" });
  }

  /** Starts the server unless it runs. @throws Error when it does not start */
  async ensureServer(): Promise<void> {
    if (this.server.running) await this.server.ready(60_000);
    else await this.server.start();
  }

  /** Ends everything and removes the home. @returns what did not end as it should */
  async close(options: { readonly keepHome?: boolean } = {}): Promise<readonly string[]> {
    const problems: string[] = [];
    await this.crew.close().catch((error: unknown) => problems.push(String(error)));
    if (this.server.running) {
      const how = await this.server.stop().catch((error: unknown) => String(error));
      if (how !== "it ended with status 0") problems.push(`SIGTERM of the server: ${how}`);
    }
    if (this.server.running) await this.server.kill().catch(() => undefined);
    const left = [...monitors(this.home).values()].flat();
    if (left.length > 0) problems.push(`${left.length} monitors are left after SIGTERM`);
    await this.upstream.close();
    process.removeListener("exit", this.#exit);
    if (options.keepHome !== true) this.#removeAtExit();
    return problems;
  }

  #removeAtExit(): void {
    this.server.signal("SIGKILL");
    killMonitors(this.home);
    this.disk.remove();
  }
}

function killMonitors(home: string): void {
  for (const { pid } of [...monitors(home).values()].flat()) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended in the meantime.
    }
  }
}

/** What drivers left that were killed themselves. Their servers end first: they hold the machines. */
function removeAbandoned(): void {
  for (const { base, home } of abandonedHomes()) {
    for (const { pid } of processesNaming(home)) process.kill(pid, "SIGKILL");
    killMonitors(home);
    removeHome(base, home);
  }
}

/** Only the server's wall clock: monotonic clocks and times of files stay. libfaketime reads the file again each second. */
function clockEnvironment(file: string): Record<string, string> {
  return {
    LD_PRELOAD: faketime,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    DONT_FAKE_MONOTONIC: "1",
    NO_FAKE_STAT: "1",
  };
}
