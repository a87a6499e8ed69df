import assert from "node:assert/strict";
import { test } from "node:test";
import { branchLabel, branchName, productionLabel, readLabel, revisionLabel } from "./hosts.ts";

test("every name is read as what it was made for", () => {
  assert.deepEqual(readLabel(productionLabel("my-app", "acme")), [{ kind: "production", app: "my-app", org: "acme" }]);
  assert.deepEqual(readLabel(revisionLabel("my-app", "acme", "a12345678901"))[1], {
    kind: "revision",
    app: "my-app",
    org: "acme",
    revision: "a12345678901",
  });
  assert.equal(branchName("Feat/Ünsafe_x"), "feat-nsafe-x");
  assert.deepEqual(readLabel(branchLabel("my-app", "acme", "feat-x"))[1], {
    kind: "branch",
    app: "my-app",
    org: "acme",
    branch: "feat-x",
  });
});

test("a hostname elsewhere is a domain of an app", () => {
  assert.deepEqual(readLabel("shop.example.app."), [{ kind: "domain", domain: "shop.example.app" }]);
});

test("what is not a name of an app is none", () => {
  for (const label of ["abc", "app", ".app", "a.app", ".b.app", "a.b.c.app", "a.b.apps", "a..app"])
    assert.deepEqual(readLabel(label), [], label);
});
