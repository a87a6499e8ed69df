/** The engine of one host: templates, pool, machines, layers. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  type AdoptionReport,
  CaissonError,
  type EgressBatch,
  type NodeStatus,
  type SandboxNode,
} from "@caisson/protocol";
import { adoptMachines } from "./adoption/adopt.ts";
import { Checkpoints } from "./checkpoint/checkpoints.ts";
import { CheckpointStore } from "./checkpoint/store.ts";
import { detectCgroups } from "./cgroup/detect.ts";
import type { Accelerator } from "./driver/driver.ts";
import { watchClock } from "./agent/clock-watch.ts";
import { EgressEvents } from "./egress-events.ts";
import { ImageLibrary } from "./images/library.ts";
import type { CloneHost } from "./machine/clone.ts";
import { type Engine, MachineTable } from "./machines.ts";
import { watchMemory } from "./memory/watch.ts";
import type { NodeOptions } from "./options.ts";
import { Clones } from "./pool/clones.ts";
import { Pool } from "./pool/pool.ts";
import { prepareDirectories } from "./runtime/directories.ts";
import { MonitorUsers } from "./runtime/users.ts";
import { templateFiles } from "./template/build.ts";
import { TemplateStore } from "./template/store.ts";

const firstCloneDeadlineMs = 15_000;

interface Preparation {
  readonly clones: Clones;
  readonly templates: TemplateStore;
  readonly pool: Pool;
}

interface Started extends Engine {
  readonly accelerator: Accelerator;
}

export function createNode(options: NodeOptions): SandboxNode {
  return new Node(options);
}

class Node implements SandboxNode {
  readonly id: string;
  readonly machines: MachineTable;
  readonly layers: NodeOptions["layers"];
  readonly files: NodeOptions["files"];
  readonly checkpoints: Checkpoints;
  readonly #checkpointStore: CheckpointStore;
  readonly #options: NodeOptions;
  readonly #events = new EgressEvents();
  #started: Started | undefined;
  readonly #closed = new AbortController();
  #closing = false;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.id = options.id;
    this.layers = options.layers;
    this.files = options.files;
    const images = new ImageLibrary(join(options.home, "images"), options.images);
    const { driver, egress, log } = options;
    this.#checkpointStore = new CheckpointStore(join(options.home, "checkpoints"), templateFiles(driver));
    this.checkpoints = new Checkpoints({
      store: this.#checkpointStore,
      clones: () => this.#running().clones,
      egress,
      exited: (id, signal) => this.machines.waitExit(id, { signal }),
      log,
    });
    const { checkpoints } = this;
    this.machines = new MachineTable({ ...options, images, checkpoints, engine: () => this.#running() });
    options.egress.onFlood((id, detail) => this.machines.evict(id, detail));
    options.egress.onEvents((events, lost) => this.#events.add(events, lost));
  }

  async start({ wanted, signal }: Parameters<SandboxNode["start"]>[0]): Promise<AdoptionReport> {
    const { home, cache, image, config, driver, egress, layers, files, log } = this.#options;
    await Promise.all([layers.open(), files.open()]);
    const [directories, cgroups, accelerator] = await Promise.all([
      prepareDirectories(home),
      detectCgroups({ allowNone: config.allowWithoutCgroups, log }),
      driver.chooseAccelerator({ wanted: config.accelerator, cache, kernel: image.kernel, log }),
    ]);
    const installation = createHash("sha256").update(home).digest("hex").slice(0, 8);
    const host: CloneHost = {
      driver,
      image,
      cgroups,
      groupPrefix: `${installation}-`,
      directories,
      users: new MonitorUsers(),
    };
    const templates = new TemplateStore(cache);
    const clones = new Clones({ host, accelerator, templates, config: config.sandbox, log });
    const pool = new Pool({
      config: config.pool,
      make: (stop) => clones.makePooled(stop),
      busy: () => this.machines.busy,
      crowded: () => this.machines.crowded,
      log,
    });
    this.#started = { clones, pool, accelerator };
    const {
      machines: adopted,
      left,
      reclaimed,
      verify,
    } = await adoptMachines({
      host,
      egress,
      wanted,
      flushMs: this.machines.flushMs,
      onEnd: (id) => this.machines.onEnd(id),
      log,
    });
    await this.#checkpointStore.open();
    for (const machine of adopted) this.machines.adopt(machine);
    for (const machine of left) this.machines.leave(machine);
    // Whoever is connected to an adopted machine must not wait for a template: an upgrade may have to build it first.
    if (adopted.length > 0) void this.#prepareBeside({ clones, templates, pool });
    else {
      await this.#prepare({ clones, templates, pool }, signal);
      await pool.firstClone(firstCloneDeadlineMs);
    }
    const { memoryReserve: reserve } = config.sandbox;
    const machines = () => this.machines.watched();
    void watchMemory({ reserve, shed: () => pool.shed(), machines, log }, this.#closed.signal);
    void watchClock(() => this.machines.setClocks(), this.#closed.signal);
    verify();
    return {
      adopted: await this.machines.list(),
      reclaimed,
      ...(left.length === 0 ? {} : { left: left.map(({ id }) => id) }),
    };
  }

  /** Templates of the sizes that are asked for most, then the pool. @throws CaissonError when a template cannot be made */
  async #prepare({ clones, templates, pool }: Preparation, signal?: AbortSignal): Promise<void> {
    const { vcpus, memoryMin, memoryDefault } = this.#options.config.sandbox;
    for (const memory of [memoryDefault, memoryMin]) await clones.template(clones.shape(vcpus, memory), signal);
    await templates.prune();
    pool.start();
  }

  /** The same while machines are served. Every creation tries again what failed here, and is refused with the reason. */
  async #prepareBeside(preparation: Preparation): Promise<void> {
    const { signal } = this.#closed;
    await this.#prepare(preparation, signal).catch((error: unknown) => {
      if (signal.aborted) return;
      this.#options.log.error(
        { err: error },
        "No machine can be made: its template cannot be built. Adopted machines run on.",
      );
      preparation.pool.start();
    });
  }

  egressEvents({ signal }: { readonly signal: AbortSignal }): AsyncIterable<EgressBatch> {
    return this.#events.read(signal);
  }

  async status(): Promise<NodeStatus> {
    const pool = this.#started?.pool;
    return {
      accelerator: this.#started?.accelerator ?? "tcg",
      baseImage: this.#options.baseImage,
      ...this.machines.status(),
      pooled: pool?.size ?? 0,
      poolTarget: pool?.target ?? 0,
      prepared: pool?.prepared.size ?? 0,
    };
  }

  async close(how: "end" | "leave"): Promise<void> {
    this.#closing = true;
    this.#closed.abort();
    await this.#started?.pool.close();
    await this.machines.close(how);
  }

  #running(): Started {
    if (this.#started === undefined || this.#closing)
      throw new CaissonError("unavailable", "The node is not running: it has not started yet, or it is shutting down.");
    return this.#started;
  }
}
