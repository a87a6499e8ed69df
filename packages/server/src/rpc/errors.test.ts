import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { agentContract, CaissonError } from "@caisson/protocol";
import { Code, ConnectError } from "@connectrpc/connect";
import { serialiseError } from "./errors.ts";

function failed(errno: string, message = "something"): ConnectError {
  const error = new ConnectError("call failed", Code.Unknown);
  error.details.push({
    desc: agentContract.OperationErrorSchema,
    value: create(agentContract.OperationErrorSchema, { errno, message }),
  });
  return error;
}

test("system call failures have Deno's class, text and code", () => {
  assert.deepEqual(serialiseError(failed("ENOENT"), "open 'x'"), {
    constructorName: "NotFound",
    message: "No such file or directory (os error 2): open 'x'",
    code: "ENOENT",
  });
  assert.deepEqual(serialiseError(failed("ENOTEMPTY"), "remove 'x'"), {
    constructorName: "Error",
    message: "Directory not empty (os error 39): remove 'x'",
    code: "ENOTEMPTY",
  });
  assert.equal(serialiseError(failed("ENODATA", "no data available")).message, "No data available (os error 61)");
});

test("an error name from the guest that is none is not taken for one", () => {
  for (const errno of ["", "ENOENT\n", "constructor", "E".repeat(50)])
    assert.equal(serialiseError(failed(errno)).code, null, errno);
});

test("what is not meant for the client is not told", () => {
  assert.ok(!serialiseError(new Error("secret detail")).message.includes("secret detail"));
  assert.deepEqual(serialiseError(new CaissonError("unsupported", "Not here.")), {
    constructorName: "Error",
    message: "Not here.",
    code: "UNSUPPORTED",
  });
});
