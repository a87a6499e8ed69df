import { CaissonError } from "@caisson/protocol";
import { z } from "zod";
import { method, type Methods } from "../call.ts";

const notYet = (what: string) =>
  method(z.object({}), async () => {
    throw new CaissonError("unsupported", `This server does not offer ${what} yet.`);
  });

export const unsupported: Methods = {
  vscode: notYet("VS Code"),
};
