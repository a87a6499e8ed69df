/** Attacks on the SSH gateway, and on a server without any defence, where each must be seen to succeed. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import ssh2 from "ssh2";
import { sshAttacks } from "./attacks.ts";
import { localGateway, type LocalGateway } from "./local.ts";
import { naiveServer, type NaiveServer } from "./naive.ts";

const limits = { login: 20_000, rekeyBytes: 2 ** 30, rekeyTime: 3_600_000, rekeyAnswer: 60_000 };
let local: LocalGateway;
let naive: NaiveServer;

before(async () => {
  local = await localGateway({ limits });
  naive = await naiveServer();
});
after(async () => {
  naive.close();
  await local.close();
});

/** Others get what they ask for. */
async function works(): Promise<void> {
  const client = new ssh2.Client();
  client.connect({ host: "127.0.0.1", ...local.address, readyTimeout: 60_000 });
  await once(client, "ready");
  client.end();
}

for (const [at, { name, run }] of sshAttacks.entries())
  test(name, { timeout: 300_000 }, async (t) => {
    const success = await run(naive, `127.0.40.${at + 1}`);
    assert.ok(success !== undefined, "the attack was not seen to succeed where nothing defends");
    t.diagnostic(`without defence: ${success}`);
    const { port, username } = local.address;
    assert.equal(await run({ port, username }, `127.0.41.${at + 1}`), undefined);
    await works();
  });
