import assert from "node:assert/strict";
import { test } from "node:test";
import { notInstalled } from "./extensions.ts";

test("an error says which extensions, and whether the sandbox's own policy refused the marketplace", () => {
  const refused = notInstalled(
    ["a.b", "c.d"],
    "write EPROTO 00B9:error:0A000419:SSL routines:tlsv1 alert access denied",
  );
  assert.match(
    refused,
    /^VS Code could not install a\.b, c\.d\. The network policy of this sandbox refuses .*open-vsx\.org/,
  );
  const absent = notInstalled(["/tmp/x.vsix"], "Error: ENOENT");
  assert.match(
    absent,
    /^VS Code could not install \/tmp\/x\.vsix\. Ids come from the marketplace.* VS Code reported: Error: ENOENT$/,
  );
});
