/** @module What the `deno sandbox` command line asks the console, beside the routes that its library uses. */
import type { Slice } from "../kernel/slice.ts";
import { sandboxesService } from "../sandboxes/index.ts";
import { consoleRoutes } from "./routes.ts";

export const consoleSlice: Slice = {
  name: "console",
  setup({ services, publicUrl }) {
    return { routes: consoleRoutes({ sandboxes: services.use(sandboxesService), publicUrl }) };
  },
};
