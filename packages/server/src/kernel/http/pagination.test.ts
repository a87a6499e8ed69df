import assert from "node:assert/strict";
import { test } from "node:test";
import { nextLink, readPage } from "./pagination.ts";

const bounds = { standard: 30, most: 100 };

test("limit is bounded, and refused when it is no number", () => {
  assert.equal(readPage(new URLSearchParams(), bounds).limit, 30);
  assert.equal(readPage(new URLSearchParams("limit=1000"), bounds).limit, 100);
  for (const limit of ["0", "-1", "1.5", "x", "1e2", "0x10", " 7", "+7", "９"])
    assert.throws(() => readPage(new URLSearchParams({ limit }), bounds), { code: "invalid_argument" });
});

test("a link survives both clients: as the JavaScript one parses it, and sent back whole as the Python one does", () => {
  const link = nextLink(
    "https://caisson.example",
    "/api/v3/sandboxes",
    new URLSearchParams("labels[a]=b;c,d&cursor=old"),
    "position",
  );
  const segments = link.split(",").map((segment) => segment.split(";"));
  assert.deepEqual(
    segments.map((parts) => parts.length),
    [2],
  );
  const url = new URL(segments[0]![0]!.trim().slice(1, -1));
  assert.deepEqual(url.searchParams.getAll("cursor"), ["position"]);
  assert.equal(url.searchParams.get("labels[a]"), "b;c,d");
  assert.equal(readPage(new URLSearchParams({ cursor: url.href }), bounds).cursor, "position");
  assert.equal(readPage(new URLSearchParams("cursor=first&cursor=last"), bounds).cursor, "last");
});
