/** Row 91: failed operations have the class and code that Deno gives them. */
import assert from "node:assert/strict";
import { bytes, rejection, type Scenario } from "../runner/scenario.ts";

export const scenarios: readonly Scenario[] = [
  {
    row: 91,
    title: "classes and codes",
    async run({ sandbox, directory }) {
      const { fs } = sandbox;
      await fs.writeTextFile(`${directory}/file`, "x");
      await fs.mkdir(`${directory}/dir/sub`, { recursive: true });
      await fs.symlink("loop", `${directory}/loop`);
      const cases: [PromiseLike<unknown>, string, string][] = [
        [fs.readTextFile(`${directory}/none`), "NotFound", "ENOENT"],
        [fs.mkdir(`${directory}/dir`), "AlreadyExists", "EEXIST"],
        [fs.readTextFile(`${directory}/file/x`), "NotADirectory", "ENOTDIR"],
        [fs.writeFile(`${directory}/dir`, bytes("x")), "IsADirectory", "EISDIR"],
        [fs.readTextFile(`${directory}/loop`), "FilesystemLoop", "ELOOP"],
        [fs.remove(`${directory}/dir`), "Error", "ENOTEMPTY"],
        [fs.rename(`${directory}/file`, "/dev/elsewhere"), "Error", "EXDEV"],
        [sandbox.spawn("no-such-program"), "NotFound", "ENOENT"],
        [sandbox.spawn("/etc/hostname"), "PermissionDenied", "EACCES"],
      ];
      for (const [call, constructorName, code] of cases) {
        const error = await rejection(call);
        assert.deepEqual([error.constructor.name, error.code], [constructorName, code], error.message);
        assert.ok(error.message.length > 3);
      }
    },
  },
];
