import assert from "node:assert/strict";
import { test } from "node:test";
import { CaissonError } from "@caisson/protocol";
import { checkHosts } from "./validate.ts";

const secret = (...hosts: string[]) => [{ name: "KEY", hosts }];

test("secrets that the policy covers are accepted", () => {
  checkHosts({}, secret("api.example.com"));
  checkHosts({ allow: ["*.example.com"] }, secret("api.example.com"));
  checkHosts({ allow: ["api.example.com"] }, secret("*.example.com"));
  checkHosts({ allow: ["api.example.com:8443"] }, secret("api.example.com"));
  checkHosts({ allow: [] }, []);
});

test("a secret that could never be used, or not be protected, is refused", () => {
  const refused = (allow: string[] | undefined, ...hosts: string[]): void =>
    assert.throws(
      () => checkHosts(allow === undefined ? {} : { allow }, secret(...hosts)),
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
  assert.throws(() => checkHosts({ maxBytesOutPerHost: -1 }, []), CaissonError);
  assert.throws(() => checkHosts({ maxBytesOutPerHost: 1.5 }, []), CaissonError);
  checkHosts({ maxBytesOutPerHost: 0 }, []);
});
