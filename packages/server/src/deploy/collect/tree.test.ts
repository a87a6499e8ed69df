import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { LocalFiles } from "@caisson/layers";
import { TreeBuilder } from "./tree.ts";

test("the names of all files together are bounded, and so is their number", () => {
  const long = new TreeBuilder(new LocalFiles(tmpdir()), { bytes: 0, files: 50_000 });
  const target = "x".repeat(4000);
  assert.throws(
    () => {
      for (let i = 0; i < 50_000; i++) long.symlink(`${i}`, target);
    },
    { code: "too_large", message: /paths/ },
  );
  const few = new TreeBuilder(new LocalFiles(tmpdir()), { bytes: 0, files: 3 });
  assert.throws(() => few.symlink("a/b/c/d", "x"), { code: "too_large", message: /more than 3 files/ });
});

test("a file that there is no room for is refused before it is read", () => {
  const tree = new TreeBuilder(new LocalFiles(tmpdir()), { bytes: 1000, files: 3 });
  tree.expect(1000);
  assert.throws(() => tree.expect(1001), { code: "too_large", message: /more than 1000 bytes/ });
});
