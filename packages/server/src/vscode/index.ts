/** @module VS Code for browsers inside sandboxes. Its address is a name of the slice `previews`. */
import { rpcMethods } from "@caisson/api";
import type { Slice } from "../kernel/slice.ts";
import { method, methodTable } from "../rpc/index.ts";
import { startEditor } from "./editor.ts";

export const vscodeSlice: Slice = {
  name: "vscode",
  setup({ node, services }) {
    services.use(methodTable).register({
      vscode: method(
        rpcMethods.vscode,
        (options, call) => startEditor(options, call, node),
        ({ path }) => `vscode '${path}'`,
      ),
    });
    return {};
  },
};
