import assert from "node:assert/strict";
import { test } from "node:test";
import { bindSecrets } from "./placeholders.ts";

test("placeholders are new each time, tell nothing of the value, and need no escaping anywhere", () => {
  const secrets = { OPENAI_API_KEY: { value: "sk-hunter2", hosts: ["api.example"] } };
  const [first] = bindSecrets(secrets);
  const [second] = bindSecrets(secrets);
  assert.match(first!.placeholder, /^caisson-secret-openai-api-key-[0-9A-Za-z]{32}$/);
  assert.notEqual(first!.placeholder, second!.placeholder);
  assert.equal(encodeURIComponent(first!.placeholder), first!.placeholder);
  assert.ok(!first!.placeholder.includes("hunter2"));
});
