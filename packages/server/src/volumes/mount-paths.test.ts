import assert from "node:assert/strict";
import { test } from "node:test";
import { checkMountPaths } from "./mount-paths.ts";

test("mount paths are returned in canonical form", () => {
  assert.deepEqual(checkMountPaths(["/data/", "/data//cache/./x", "/home/app/../app/work", "/etc/app"]), [
    "/data",
    "/data/cache/x",
    "/home/app/work",
    "/etc/app",
  ]);
});

test("paths that would break the sandbox, or each other, are refused", () => {
  for (const bad of [
    "",
    "data",
    "/",
    "/..",
    "//",
    "/proc",
    "/proc/x",
    "/sys/fs",
    "/dev",
    "/usr",
    "/etc/",
    "/da\0ta",
    `/${"x".repeat(2000)}`,
  ]) {
    assert.throws(() => checkMountPaths([bad]), { code: "invalid_argument" }, JSON.stringify(bad));
  }
  assert.throws(() => checkMountPaths(["/a", "/a/"]), { message: /the same path/ });
  assert.throws(() => checkMountPaths(Array.from({ length: 9 }, (_, index) => `/v${index}`)), { message: /at most 8/ });
});
