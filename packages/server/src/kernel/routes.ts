/** Names of the gateway belong to several slices: each adds its directory, and they are asked in that order. */
import type { HttpRoute, RouteDirectory } from "@caisson/protocol";
import { serviceKey } from "./services.ts";

export class RouteDirectories implements RouteDirectory<HttpRoute> {
  readonly #directories: RouteDirectory<HttpRoute>[];

  constructor(first: RouteDirectory<HttpRoute>) {
    this.#directories = [first];
  }

  /** In the setup of slices. */
  add(directory: RouteDirectory<HttpRoute>): void {
    this.#directories.push(directory);
  }

  async find(name: string, options: { readonly signal: AbortSignal }): Promise<HttpRoute | "reserved" | undefined> {
    for (const directory of this.#directories) {
      const found = await directory.find(name, options);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

export const routeDirectories = serviceKey<RouteDirectories>("route directories");
