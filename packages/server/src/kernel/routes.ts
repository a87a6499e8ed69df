/** Names of the gateway belong to several slices: each adds its directory, and they are asked in that order. */
import type { HttpDirectory, HttpRoute } from "@caisson/protocol";
import { serviceKey } from "./services.ts";

export class RouteDirectories implements HttpDirectory {
  readonly #directories: HttpDirectory[];

  constructor(first: HttpDirectory) {
    this.#directories = [first];
  }

  /** In the setup of slices. */
  add(directory: HttpDirectory): void {
    this.#directories.push(directory);
  }

  async find(
    name: string,
    options: { readonly signal: AbortSignal },
  ): Promise<HttpRoute | "reserved" | "ended" | undefined> {
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
