/** What we use of the SSH library's inside is there. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { pino } from "pino";
import ssh2 from "ssh2";
import { createSshGateway } from "./gateway.ts";

test("a client reads why it is disconnected, and the gateway closes connections that never spoke", async () => {
  const gateway = createSshGateway({
    host: "127.0.0.1",
    port: 0,
    publicHost: "127.0.0.1",
    seed: Buffer.alloc(32, 1),
    log: pino({ level: "silent" }),
  });
  await gateway.listen({ find: async () => undefined });
  try {
    const client = new ssh2.Client();
    client.connect({ host: "127.0.0.1", port: gateway.address().port, username: "nobody" });
    const [error] = (await once(client, "error")) as [Error];
    assert.match(error.message, /no running sandbox has this user name/);
    // Nothing is sent to it before it has spoken, but its version.
    const silent = connect(gateway.address().port, "127.0.0.1");
    const [version] = (await once(silent, "data")) as [Buffer];
    assert.equal(String(version), "SSH-2.0-Caisson\r\n");
    const closed = once(silent, "close");
    await gateway.close();
    await closed;
  } finally {
    await gateway.close();
  }
});
