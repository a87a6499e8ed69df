import assert from "node:assert/strict";
import { test } from "node:test";
import { rpcMethods } from "@caisson/api";
import { methods } from "./index.ts";

/** Other slices register these. */
const elsewhere = ["exposeHttp", "vscode"];

test("every method of the contract is served under its own name", () => {
  assert.deepEqual(
    [...Object.keys(methods), ...elsewhere].toSorted((a, b) => (a < b ? -1 : 1)),
    Object.keys(rpcMethods).toSorted((a, b) => (a < b ? -1 : 1)),
  );
  for (const [name, { contract }] of Object.entries(methods))
    assert.equal(contract, rpcMethods[name as keyof typeof rpcMethods], name);
});
