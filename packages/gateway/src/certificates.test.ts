/** The operator's certificate: read from files, read again when they are replaced, and refused where they do not fit. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { createGatewayAuthority } from "@caisson/egress";
import { configSchema } from "@caisson/protocol";
import { pino } from "pino";
import { createGateway } from "./index.ts";
import { listen } from "./testing/listen.ts";

let directory: string;
const cert = () => join(directory, "cert.pem");
const key = () => join(directory, "key.pem");
const log = pino({ level: "silent" });
const [authority, other] = await Promise.all([1, 2].map((seed) => createGatewayAuthority(Buffer.alloc(32, seed))));
const issue = () => Promise.reject(new Error("not asked for"));

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-certificates-"));
});

after(() => rm(directory, { recursive: true }));

async function write(by: typeof authority): Promise<void> {
  const leaf = await by!.issue(["*.previews.example"]);
  for (const [path, text] of [
    [cert(), leaf.cert],
    [key(), leaf.key],
  ] as const) {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  }
}

const gatewayOf = () =>
  createGateway({
    config: configSchema.parse({ gateway: { domain: "previews.example", cert: cert(), key: key() } }).gateway,
    port: 0,
    issue,
    log,
  });

async function trusts(port: number, ca: string): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port, servername: "abc.previews.example", ca });
  try {
    await once(socket, "secureConnect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

test("missing files stop the start and are named", async () => {
  await assert.rejects(
    listen(gatewayOf(), { find: async () => undefined }),
    /gateway\.cert and gateway\.key cannot be used: ENOENT/,
  );
});

test("a key for another certificate stops it, too", async () => {
  await write(authority);
  await writeFile(key(), (await other!.issue(["x.example"])).key);
  await assert.rejects(
    listen(gatewayOf(), { find: async () => undefined }),
    /gateway\.cert and gateway\.key cannot be used: .*mismatch/,
  );
});

test("a renewed certificate is used without a restart, a broken one is not", async () => {
  await write(authority);
  const gateway = gatewayOf();
  await listen(gateway, { find: async () => undefined });
  try {
    const port = Number(gateway.addressOf("abc").split(":")[1]);
    assert.equal(await trusts(port, authority!.certificatePem), true);
    await writeFile(cert(), "broken");
    await sleep(1_100);
    assert.equal(await trusts(port, authority!.certificatePem), true);
    await write(other);
    await sleep(1_100);
    assert.equal(await trusts(port, other!.certificatePem), true);
    assert.equal(await trusts(port, authority!.certificatePem), false);
  } finally {
    await gateway.close();
  }
});

test("a client that names no hostname, and a certificate that cannot be issued, fail their handshake alone", async () => {
  let failing = true;
  const gateway = createGateway({
    config: configSchema.parse({ gateway: { domain: "previews.example" } }).gateway,
    port: 0,
    issue: (hosts) => (failing ? Promise.reject(new Error("not now")) : authority!.issue(hosts)),
    log,
  });
  const outside = { find: () => undefined, challenge: () => undefined };
  await gateway.listen({ find: async () => undefined, known: async () => true }, outside);
  try {
    const port = Number(gateway.addressOf("abc").split(":")[1]);
    const proof = connect({ host: "127.0.0.1", port, ALPNProtocols: ["acme-tls/1"], rejectUnauthorized: false });
    await assert.rejects(once(proof, "secureConnect"));
    assert.equal(await trusts(port, authority!.certificatePem), false);
    failing = false;
    assert.equal(await trusts(port, authority!.certificatePem), true);
  } finally {
    await gateway.close();
  }
});

test("one file without the other is refused with the configuration", () => {
  const { error } = configSchema.safeParse({ gateway: { cert: "/a.pem" } });
  assert.match(String(error), /needs both `cert` and `key`, or neither/);
});
