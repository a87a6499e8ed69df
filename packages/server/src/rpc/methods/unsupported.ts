import { rpcMethods as contract } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { method, type Methods } from "../call.ts";

export const unsupported: Methods = {
  vscode: method(contract.vscode, async () => {
    throw new CaissonError("unsupported", "VS Code is not supported yet.");
  }),
};
