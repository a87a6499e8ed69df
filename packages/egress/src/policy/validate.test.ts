import assert from "node:assert/strict";
import { test } from "node:test";
import { CaissonError } from "@caisson/protocol";
import { validateEgress } from "./validate.ts";

const secret = (...hosts: string[]) => [{ name: "KEY", hosts }];

test("secrets that the policy covers are accepted", () => {
  validateEgress({}, secret("api.example.com"));
  validateEgress({ allow: ["*.example.com"] }, secret("api.example.com"));
  validateEgress({ allow: ["api.example.com"] }, secret("*.example.com"));
  validateEgress({ allow: ["api.example.com:8443"] }, secret("api.example.com"));
  validateEgress({ allow: [] }, []);
});

test("a secret that could never be used, or not be protected, is refused", () => {
  const refused = (allow: string[] | undefined, ...hosts: string[]): void =>
    assert.throws(
      () => validateEgress(allow === undefined ? {} : { allow }, secret(...hosts)),
      (error) => error instanceof CaissonError && error.code === "invalid_argument",
      hosts.join(),
    );
  refused(["other.example"], "api.example.com");
  refused([], "api.example.com");
  refused(["api.example.com:443"], "api.example.com:8443");
  refused(["api.example.com"], "api.example.com", "other.example");
  refused(undefined);
  refused(undefined, "*");
  refused(undefined, "203.0.113.7");
  refused(undefined, "[2001:db8::1]");
  refused(undefined, "0x7f000001");
  refused(undefined, "api.example.com:80");
  refused(undefined, "https://api.example.com/");
});

test("a byte budget is a whole number", () => {
  assert.throws(() => validateEgress({ maxBytesOutPerHost: -1 }, []), CaissonError);
  assert.throws(() => validateEgress({ maxBytesOutPerHost: 1.5 }, []), CaissonError);
  validateEgress({ maxBytesOutPerHost: 0 }, []);
});
