import assert from "node:assert/strict";
import { test } from "node:test";
import { headerList } from "./fields.ts";
import { framingFault, upgradeFault } from "./framing.ts";

const fault = (raw: string[], version = "1.1") => framingFault(headerList(raw), version);

test("a request whose end is clear has no fault", () => {
  for (const raw of [[], ["Content-Length", "5"], ["content-length", "5 "], ["Transfer-Encoding", "Chunked"]])
    assert.equal(fault(raw), undefined, raw.join(": "));
  assert.equal(fault(["content-length", "5"], "1.0"), undefined);
});

test("a request that two parsers may read in two ways has one", () => {
  const cases: [RegExp, string[], string?][] = [
    [/ambiguous/, ["content-length", "5", "Content-Length", "5"]],
    [/ambiguous/, ["content-length", "+5"]],
    [/ambiguous/, ["content-length", "5, 5"]],
    [/ambiguous/, ["content-length", ""]],
    [/ambiguous/, ["content-length", "0x5"]],
    [/ambiguous/, ["content-length", "9".repeat(16)]],
    [/Only `chunked`/, ["transfer-encoding", "gzip, chunked"]],
    [/Only `chunked`/, ["transfer-encoding", "xchunked"]],
    [/Only `chunked`/, ["transfer-encoding", "chunked", "transfer-encoding", "chunked"]],
    [/both/, ["transfer-encoding", "chunked", "content-length", "5"]],
    [/needs HTTP\/1\.1/, ["transfer-encoding", "chunked"], "1.0"],
    [/not supported/, [], "2.0"],
  ];
  for (const [expected, raw, version] of cases) assert.match(fault(raw, version) ?? "", expected, raw.join(": "));
});

test("a WebSocket begins with a GET without a body", () => {
  assert.equal(upgradeFault(headerList(["upgrade", "websocket"]), "GET"), undefined);
  assert.match(upgradeFault([], "POST") ?? "", /GET/);
  assert.match(upgradeFault(headerList(["content-length", "0"]), "GET") ?? "", /without a body/);
  assert.match(upgradeFault(headerList(["transfer-encoding", "chunked"]), "GET") ?? "", /without a body/);
});
