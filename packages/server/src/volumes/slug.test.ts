import assert from "node:assert/strict";
import { test } from "node:test";
import { checkSlug } from "./slug.ts";

test("slugs of the documented form pass, all others are refused", () => {
  for (const good of ["ab", "my-volume", "a--b", "abc--d", "0-9", "a".repeat(32)]) assert.equal(checkSlug(good), good);
  for (const bad of ["", "a", "-ab", "ab-", "ab--c", "Ab", "a_b", "a b", "a".repeat(33), "ä1", "a/b", "../x", "ab\n"]) {
    assert.throws(() => checkSlug(bad), { code: "invalid_argument" }, bad);
  }
});
