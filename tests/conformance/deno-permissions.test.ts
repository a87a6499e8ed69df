/** The example of docs/deno-permissions.md, as it stands there: both layers hold, each for itself. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { sharedPlatform } from "@caisson/testing";

const { env } = await sharedPlatform();

test("a request goes out when Deno's flag and the sandbox's list both allow it", async () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/deno-permissions.md"), "utf8");
  const example = /^```js\n(.*?)^```$/ms.exec(page)?.[1];
  assert.ok(example !== undefined);
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", example], {
    cwd: import.meta.dirname,
    env: { ...process.env, ...env },
    timeout: 120_000,
  });
  const [com = "", org, net] = stdout.trim().split("\n");
  // Both let it pass; what comes then depends on this host's way to the internet.
  assert.match(com, /^example\.com (\d{3}$|TypeError)/);
  assert.equal(org, "example.org NotCapable");
  assert.equal(net, "example.net TypeError");
});
