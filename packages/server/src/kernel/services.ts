/** What slices offer each other, by typed keys. A slice exports the key of its service and imports those of the slices before it. */

declare const type: unique symbol;

export interface ServiceKey<T> {
  readonly name: string;
  readonly [type]?: T;
}

/** @param name for error messages; unique */
export function serviceKey<T>(name: string): ServiceKey<T> {
  return { name };
}

export class Services {
  readonly #services = new Map<ServiceKey<unknown>, unknown>();

  provide<T>(key: ServiceKey<T>, service: T): void {
    if (this.#services.has(key)) throw new Error(`Two slices provide ${key.name}.`);
    this.#services.set(key, service);
  }

  /** @throws Error when no slice before the asking one provides it */
  use<T>(key: ServiceKey<T>): T {
    if (!this.#services.has(key))
      throw new Error(`No slice provides ${key.name} yet. Is slices.ts in the right order?`);
    return this.#services.get(key) as T;
  }
}
