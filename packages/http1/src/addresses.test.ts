import assert from "node:assert/strict";
import { test } from "node:test";
import { addressKey, addressSet, clientAddress } from "./addresses.ts";
import { AddressRate, AddressShares } from "./address-limits.ts";

test("the client is the rightmost address that no trusted proxy has", () => {
  const trusted = addressSet(["10.0.0.0/8", "127.0.0.1", "fd00::/8"]);
  const cases: [peer: string | undefined, forwarded: string | string[] | undefined, client: string][] = [
    ["192.0.2.1", "8.8.8.8", "192.0.2.1"],
    ["192.0.2.1", undefined, "192.0.2.1"],
    ["10.0.0.1", undefined, "10.0.0.1"],
    ["10.0.0.1", "8.8.8.8, 192.0.2.7", "192.0.2.7"],
    ["::ffff:10.0.0.1", "8.8.8.8 , 192.0.2.7,10.2.2.2", "192.0.2.7"],
    ["fd00::1%eth0", ["8.8.8.8", "2001:db8::1"], "2001:db8::1"],
    ["127.0.0.1", "[2001:db8::1]:443", "2001:db8::1"],
    ["127.0.0.1", "8.8.8.8, unknown", "127.0.0.1"],
    ["127.0.0.1", "", "127.0.0.1"],
    [undefined, "8.8.8.8", ""],
  ];
  for (const [peer, forwarded, client] of cases)
    assert.equal(clientAddress(peer, forwarded, trusted), client, `${peer} for ${String(forwarded)}`);
});

test("an IPv6 client counts with its network", () => {
  assert.equal(addressKey("192.0.2.1"), "192.0.2.1");
  for (const address of ["2001:db8::1", "2001:db8:0:0:ffff:1:2:3", "2001:DB8:0000::"])
    assert.equal(addressKey(address), "2001:db8:0:0::/64");
  assert.equal(addressKey("2001:db8:0:1::1"), "2001:db8:0:1::/64");
  assert.equal(addressKey("::1"), "0:0:0:0::/64");
});

test("shares are given back once, and rates refill", async () => {
  const shares = new AddressShares(2);
  const first = shares.take("a")!;
  assert.ok(shares.take("a"));
  assert.equal(shares.take("a"), undefined);
  assert.ok(shares.take("b"));
  first();
  first();
  assert.ok(shares.take("a"));
  assert.equal(shares.take("a"), undefined);

  const rate = new AddressRate(50, 3);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => rate.take("a")),
    [true, true, true, false],
  );
  rate.giveBack("a");
  assert.deepEqual([rate.take("a"), rate.take("a"), rate.take("b")], [true, false, true]);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(rate.take("a"), true);
});
