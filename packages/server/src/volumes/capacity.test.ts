import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCapacity } from "./capacity.ts";

test("every unit of the clients, decimal without i and binary with it", () => {
  assert.equal(parseCapacity("1GB"), 1_000_000_000);
  assert.equal(parseCapacity("1GiB"), 1_073_741_824);
  assert.equal(parseCapacity("300MB"), 300_000_000);
  assert.equal(parseCapacity("500MiB"), 524_288_000);
  assert.equal(parseCapacity("400000kB"), 400_000_000);
  assert.equal(parseCapacity("400000KB"), 400_000_000);
  assert.equal(parseCapacity("400000KiB"), 409_600_000);
  assert.equal(parseCapacity("1.5 GB"), 1_500_000_000);
  assert.equal(parseCapacity("1000000000"), 1_000_000_000);
  assert.equal(parseCapacity(20e9), 20_000_000_000);
});

test("what is no size or out of bounds is refused with the bounds or the spelling", () => {
  for (const bad of [
    "",
    "GB",
    "1 TB",
    "1gb",
    "-1GB",
    "1e9",
    "0x10",
    "1GBs",
    "9".repeat(400),
    0.5e9 + 0.5,
    Number.NaN,
    Infinity,
  ]) {
    assert.throws(() => parseCapacity(bad), { code: "invalid_argument" }, String(bad));
  }
  assert.throws(() => parseCapacity("299MB"), { message: /300 MB to 20 GB/ });
  assert.throws(() => parseCapacity("20.1GB"), { message: /300 MB to 20 GB/ });
});
