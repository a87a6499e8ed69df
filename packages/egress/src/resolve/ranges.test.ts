import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { isInternal, isOwnAddress } from "./ranges.ts";

test("internal ranges are internal at both ends", () => {
  const internal = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fdff::1",
    "ff02::1",
    "100::1",
    "2001::1",
    "fd00:ec2::254",
  ];
  for (const address of internal) assert.ok(isInternal(address), address);
});

test("public ranges and documentation ranges are not", () => {
  for (const address of [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:db8::1",
    "2606:4700::1",
  ]) {
    assert.ok(!isInternal(address), address);
  }
});

test("an internal IPv4 address inside IPv6 is internal, a public one is not", () => {
  for (const address of [
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "::10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254",
    "2002:7f00:1::",
    "2002:0a00:0001::1",
    "64:ff9b:1::1",
  ]) {
    assert.ok(isInternal(address), address);
  }
  for (const address of ["::ffff:1.1.1.1", "64:ff9b::101:101", "2002:0101:0101::1"])
    assert.ok(!isInternal(address), address);
});

test("text that is no address is never public", () => {
  for (const text of ["", "example.com", "1.2.3", "::g"]) assert.ok(isInternal(text), text);
});

test("this host's own addresses are known", () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  assert.ok(own.length > 0);
  for (const { address } of own) assert.ok(isOwnAddress(address), address);
  assert.ok(!isOwnAddress("203.0.113.200"));
});

test("this host's own IPv4 addresses are known inside IPv6 too, in every form and spelling", () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  for (const { address } of own.filter(({ family }) => family === "IPv4")) {
    const hex = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
    const groups = `${hex[0]}${hex[1]}:${hex[2]}${hex[3]}`;
    for (const form of [
      `::${address}`,
      `::ffff:${address}`,
      `::ffff:${groups}`,
      `0:0:0:0:0:FFFF:${groups.toUpperCase()}`,
      `::ffff:0:${address}`,
      `64:ff9b::${groups}`,
      `64:ff9b::${address}`,
      `2002:${groups}::1`,
    ])
      assert.ok(isOwnAddress(form), form);
  }
  for (const form of ["::ffff:203.0.113.200", "64:ff9b::203.0.113.200", "2002:cb00:71c8::1", "2001:db8::1", "", "x"])
    assert.ok(!isOwnAddress(form), form);
});
