/** What no client of HTTP/1.1 can send, and what is not in the head. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalHost } from "@caisson/policy";
import { outsideNarrowing } from "./narrowed.ts";
import { SecretRefused, substituteHead } from "./substitute.ts";
import { createVault } from "./vault.ts";

const binding = {
  name: "NARROW",
  placeholder: "caisson-secret-0123456789abcdef",
  value: "sk-live-0123456789",
  hosts: ["api.test"],
  methods: ["POST"],
  pathPrefixes: ["/v1/"],
};
const head = (target: string) => ({ method: "POST", target, headers: [] });

test("bytes that do not belong into a path begin with nothing", () => {
  assert.equal(outsideNarrowing(binding, head("/v1/x")), undefined);
  for (const path of ["/v1/caf\u00e9", "/v1/\u00ef\u00bc\u008e", "/v1/\x01", "/v1/a\tb", "/v1/\x7f"])
    assert.match(outsideNarrowing(binding, head(path)) ?? "", /this path/, path);
  // The query is not part of it.
  assert.equal(outsideNarrowing(binding, head("/v1/x?a=../%2e%25#")), undefined);
});

test("a secret that is narrowed in one way alone is not sent with what overrides the other", () => {
  const request = { ...head("/v1/x"), headers: [["x-original-url", "/v2/x"]] as const };
  for (const rules of [{ methods: ["POST"] }, { pathPrefixes: ["/"] }])
    assert.match(outsideNarrowing(rules, request) ?? "", /x-original-url/);
  assert.equal(outsideNarrowing({}, request), undefined);
});

test("trailers are judged by the whole request", () => {
  const vault = createVault([binding]);
  const to = { host: canonicalHost("api.test")!, port: 443, scheme: "https" as const };
  const trailers = [["x-key", binding.placeholder]] as const;
  const own = { method: "POST", target: "/", headers: trailers };
  const substitute = (request: Parameters<typeof substituteHead>[3]) => substituteHead(vault, to, own, request);
  assert.deepEqual(substitute({ ...head("/v1/x"), headers: trailers }).headers, [["x-key", binding.value]]);
  const overridden = { ...head("/v1/x"), headers: [["x-http-method-override", "DELETE"] as const, ...trailers] };
  assert.throws(() => substitute(overridden), SecretRefused);
  assert.throws(() => substitute({ ...head("/v2/x"), headers: trailers }), SecretRefused);
});
