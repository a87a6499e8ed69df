/** Names of the gateway belong to several slices: each adds its directory, and they are asked in that order. */
import type { HttpDirectory, HttpRoute } from "@caisson/protocol";
import { serviceKey } from "./services.ts";

export class RouteDirectories implements HttpDirectory {
  readonly #directories: HttpDirectory[];
  readonly #opened = Promise.withResolvers<void>();

  constructor(first: HttpDirectory) {
    this.#directories = [first];
  }

  /** In the setup of slices. */
  add(directory: HttpDirectory): void {
    this.#directories.push(directory);
  }

  /**
   * What a former process left is known: visits that came during the start go on. Until then nothing may be started for them. Names are
   * known before, so that the handshake of a visitor need not wait.
   */
  open(): void {
    this.#opened.resolve();
  }

  async find(
    name: string,
    options: { readonly signal: AbortSignal },
  ): Promise<HttpRoute | "reserved" | "ended" | undefined> {
    // Whoever asks gives up by its own deadline.
    await this.#opened.promise;
    for (const directory of this.#directories) {
      const found = await directory.find(name, options);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async known(name: string, options: { readonly signal: AbortSignal }): Promise<boolean> {
    for (const directory of this.#directories) if (await directory.known(name, options)) return true;
    return false;
  }
}

export const routeDirectories = serviceKey<RouteDirectories>("route directories");
