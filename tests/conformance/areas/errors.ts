/** Row 91: failed operations have the class and code that Deno gives them. */
import assert from "node:assert/strict";
import { bytes, rejection, type Scenario } from "../runner/scenario.ts";

async function fails(call: () => PromiseLike<unknown>, constructorName: string, code: string): Promise<void> {
  const error = await rejection(call());
  assert.deepEqual([error.constructor.name, error.code], [constructorName, code], error.message);
  assert.ok(error.message.length > 3);
}

export const scenarios: readonly Scenario[] = [
  {
    row: 91,
    title: "classes and codes",
    async run({ sandbox, directory }) {
      const { fs } = sandbox;
      await fs.writeTextFile(`${directory}/file`, "x");
      await fs.mkdir(`${directory}/dir/sub`, { recursive: true });
      const cases: [() => PromiseLike<unknown>, string, string][] = [
        [() => fs.readTextFile(`${directory}/none`), "NotFound", "ENOENT"],
        [() => fs.mkdir(`${directory}/dir`), "AlreadyExists", "EEXIST"],
        [() => fs.remove(`${directory}/dir`), "Error", "ENOTEMPTY"],
        [() => fs.rename(`${directory}/file`, "/dev/elsewhere"), "Error", "EXDEV"],
        [() => sandbox.spawn("no-such-program"), "NotFound", "ENOENT"],
        [() => sandbox.spawn("/etc/passwd"), "PermissionDenied", "EACCES"],
      ];
      for (const [call, constructorName, code] of cases) await fails(call, constructorName, code);
    },
  },
  {
    row: 91,
    title: "client bug: classes that the client's Deno shim lacks arrive as plain errors, with their code",
    async run({ sandbox: { fs }, directory }) {
      await fs.writeTextFile(`${directory}/file`, "x");
      await fs.mkdir(`${directory}/dir`);
      await fs.symlink("loop", `${directory}/loop`);
      await fails(() => fs.readTextFile(`${directory}/file/x`), "Error", "ENOTDIR");
      await fails(() => fs.writeFile(`${directory}/dir`, bytes("x")), "Error", "EISDIR");
      await fails(() => fs.readTextFile(`${directory}/loop`), "Error", "ELOOP");
    },
  },
];
