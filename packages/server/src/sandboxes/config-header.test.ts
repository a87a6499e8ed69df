import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeConfigHeader } from "./config-header.ts";

const encode = (text: string, encoding: BufferEncoding = "utf8") => Buffer.from(text, encoding).toString("base64");

test("the header is UTF-8, else Latin-1", () => {
  assert.deepEqual(decodeConfigHeader(encode('{"a":"ü"}')), { a: "ü" });
  assert.deepEqual(decodeConfigHeader(encode('{"a":"ü"}', "latin1")), { a: "ü" });
});

test("anything else is refused", () => {
  for (const header of [
    undefined,
    "",
    "%%%",
    "a",
    encode("{"),
    encode("[]"),
    encode("null"),
    encode('"x"'),
    ["e30=", "e30="],
  ]) {
    assert.throws(() => decodeConfigHeader(header), { code: "invalid_argument" }, String(header));
  }
});
