/** Makes clones of templates: for the pool, or for a caller that waits. */
import { warmUp } from "../agent/warm-up.ts";
import type { VmShape } from "../driver/driver.ts";
import type { RootImages } from "../holdings/disk-links.ts";
import { machineLimits } from "../holdings/limits.ts";
import { type Clone, type CloneHost, type CloneWant, plugMemory, restoreClone } from "../machine/clone.ts";
import { prepareOnRoot, rehearseRoot } from "../machine/owner-root.ts";
import type { NodeOptions } from "../options.ts";
import { templateKey } from "../template/key.ts";
import { shapeFor } from "../template/shape.ts";
import type { Template, TemplateStore } from "../template/store.ts";

/** A rehearsal costs each pooled clone about 11 MiB. It is skipped when nobody has asked for a root disk for this long. */
const rootDemandMs = 10 * 60_000;

export interface ClonesOptions {
  readonly host: CloneHost;
  readonly accelerator: VmShape["accelerator"];
  readonly templates: TemplateStore;
  readonly config: NodeOptions["config"]["sandbox"];
  readonly log: NodeOptions["log"];
}

export class Clones {
  readonly #options: ClonesOptions;
  /** When somebody last asked for a root disk, as by `performance.now`. */
  #lastRoot = -Infinity;

  constructor(options: ClonesOptions) {
    this.#options = options;
  }

  /** @param memory MiB */
  shape(vcpus: number, memory: number): VmShape {
    return shapeFor(vcpus, memory, this.#options.config, this.#options.accelerator);
  }

  async template(shape: VmShape, signal?: AbortSignal): Promise<Template> {
    const { host, config, templates, log } = this.#options;
    return templates.get({
      host,
      driver: host.driver,
      image: host.image,
      shape,
      diskBytes: config.diskBytes,
      progress: (step) => log.info(step),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Somebody asked for a root disk: clones for the pool rehearse for it from now on. */
  rootWanted(): void {
    this.#lastRoot = performance.now();
  }

  /** A clone for somebody who waits; `personalized` resolves when it can be configured. */
  async restore(
    shape: VmShape,
    memory: number,
    signal?: AbortSignal,
  ): Promise<Clone & { personalized: Promise<void> }> {
    const template = await this.template(shape, signal);
    return restoreClone(this.#options.host, { shape, template, memory, background: false });
  }

  /** A clone of a template that is a checkpoint, or that will be one. @param want memory in MiB */
  async restoreFrom(
    template: Template,
    want: Omit<CloneWant, "template" | "background">,
  ): Promise<Clone & { personalized: Promise<void> }> {
    return restoreClone(this.#options.host, { ...want, template, background: want.use?.kind === "save" });
  }

  /** Of the template for this shape. */
  key(shape: VmShape): Promise<string> {
    const { host, config } = this.#options;
    return templateKey(host.driver, { image: host.image, shape, diskBytes: config.diskBytes });
  }

  /** A paused clone for the pool. @param root of whoever it is for */
  async makePooled(signal: AbortSignal, root?: RootImages): Promise<Clone> {
    const { host, config } = this.#options;
    const shape = this.shape(config.vcpus, config.memoryDefault);
    const template = await this.template(shape);
    const clone = await restoreClone(host, { shape, template, memory: config.memoryDefault, background: true });
    // Nobody needs the clone any more: ending it makes the pending calls fail.
    const abandon = () => void clone.discard().catch(() => undefined);
    signal.addEventListener("abort", abandon, { once: true });
    try {
      signal.throwIfAborted();
      await clone.personalized;
      await warmUp(clone.agent);
      // A real processor has nothing to translate.
      const rehearse = shape.accelerator === "tcg" && performance.now() - this.#lastRoot < rootDemandMs;
      if (root !== undefined) await prepareOnRoot(clone, root);
      else if (rehearse) await rehearseRoot(clone, template.files);
      await clone.vm.pause();
      await clone.holdings.update({ phase: "pooled" });
      return clone;
    } catch (error) {
      await clone.discard();
      throw error;
    } finally {
      signal.removeEventListener("abort", abandon);
    }
  }

  /** Lets a clone of the pool run for its owner. @param memory MiB */
  async wake(clone: Clone, memory: number): Promise<void> {
    const { host } = this.#options;
    const { cgroup } = clone.holdings;
    await Promise.all([
      cgroup.setPriority("normal"),
      memory === clone.memory ? undefined : cgroup.setMemoryLimit(machineLimits(clone.shape, memory).memoryBytes),
    ]);
    if (memory !== clone.memory)
      await plugMemory(host.driver, clone.vm, (await this.template(clone.shape)).visibleMemory, memory);
    await clone.vm.resume();
    // The first call after a pause takes the guest ten milliseconds; nobody waits for this one.
    void clone.agent.machine.hello({}).catch(() => undefined);
  }
}

/** A pooled clone may grow, but giving memory back would need its guest's help. */
export function fits(clone: Clone, shape: VmShape, memory: number): boolean {
  return clone.shape.vcpus === shape.vcpus && memory >= clone.memory;
}
