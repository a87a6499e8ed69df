/** Logins: what a refused one reads, and what endless ones cost. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import ssh2 from "ssh2";
import { attemptLogin, localGateway, type LocalGateway } from "./local.ts";
import { OpenSsh } from "./openssh.ts";

let local: LocalGateway;
before(async () => {
  local = await localGateway();
});
after(() => local.close());

const wrong = "w".repeat(32);

const attempt = (username: string, from: string) => attemptLogin(local.address.port, username, from);

for (const batch of ["yes", "no"])
  test(`a refused login says why, BatchMode ${batch}`, async () => {
    const { hostKey } = local;
    const stranger = new OpenSsh({ ...local.address, username: wrong }, hostKey, [`BatchMode ${batch}`]);
    for (const [program, args] of [
      ["ssh", ["sandbox", "true"]],
      ["scp", ["/etc/hostname", "sandbox:/tmp/x"]],
      ["sftp", ["sandbox"]],
    ] as const) {
      const { code, stderr } = await stranger.run(program, args);
      assert.equal(code, 255);
      assert.match(stderr, /Caisson: no running sandbox has this user name.*exposeSsh\(\)/);
    }
  });

test("a client that offers a key first is let in by its user name", async () => {
  const { privateKey } = await import("node:crypto").then(({ generateKeyPairSync }) =>
    generateKeyPairSync("rsa", {
      modulusLength: 2048,
      privateKeyEncoding: { type: "pkcs1", format: "pem" },
      publicKeyEncoding: { type: "pkcs1", format: "pem" },
    }),
  );
  const client = new ssh2.Client();
  client.connect({ host: "127.0.0.1", ...local.address, privateKey, authHandler: ["publickey"] });
  await once(client, "ready");
  client.end();
});

test(
  "a wrong name is refused from many addresses, and right ones are let in all the while",
  { timeout: 120_000 },
  async () => {
    const before = process.memoryUsage().rss;
    const results = new Map<string, number>();
    for (let round = 0; round < 10; round++) {
      const reasons = await Promise.all(Array.from({ length: 10 }, (_, at) => attempt(wrong, `127.0.9.${at}`)));
      for (const reason of reasons) results.set(reason, (results.get(reason) ?? 0) + 1);
      assert.equal(await attempt(local.address.username, "127.0.8.1"), "in");
    }
    assert.equal(results.get("in"), undefined);
    assert.ok(process.memoryUsage().rss - before < 200 * 2 ** 20);
  },
);

test("who does not log in again and again is not listened to, and others are", { timeout: 120_000 }, async () => {
  let refused = 0;
  for (let at = 0; at < 80; at++) {
    const socket = connect({ host: "127.0.0.1", port: local.address.port, localAddress: "127.0.7.1" });
    const [data] = (await once(socket, "data")) as [Buffer];
    if (String(data).startsWith("Caisson: too many")) refused++;
    socket.destroy();
  }
  assert.ok(refused >= 10, `${refused} of 80 were refused`);
  assert.equal(await attempt(local.address.username, "127.0.7.2"), "in");
});

test("who logs in is not counted", { timeout: 120_000 }, async () => {
  for (let at = 0; at < 80; at++) assert.equal(await attempt(local.address.username, "127.0.6.1"), "in");
});
