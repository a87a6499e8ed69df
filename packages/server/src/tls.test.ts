/** The API over TLS: with the official client, and with a certificate that is renewed while the server runs. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { createGatewayAuthority } from "@caisson/egress";
import { configSchema } from "@caisson/protocol";
import { buildAgent, until } from "@caisson/testing";
import { heldConnections, openBareServer, type BareServer } from "./testing/bare-server.ts";

const execute = promisify(execFile);
const authority = await createGatewayAuthority(Buffer.alloc(32, 1));
const other = await createGatewayAuthority(Buffer.alloc(32, 2));
let directory: string;
let server: BareServer;
const path = (name: string) => join(directory, name);

async function issue(from: typeof authority): Promise<void> {
  const { cert, key } = await from.issue(["localhost"]);
  await Promise.all([writeFile(path("cert.pem"), cert), writeFile(path("key.pem"), key)]);
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-tls-"));
  await issue(authority);
  await writeFile(path("ca.pem"), authority.certificatePem);
  const config = { host: "0.0.0.0", api: { cert: path("cert.pem"), key: path("key.pem"), connectionsPerAddress: 50 } };
  server = await openBareServer({ config, host: "0.0.0.0", agent: buildAgent(directory) });
});

after(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

async function ask(request: string, ca: string): Promise<string> {
  const options = { host: "127.0.0.1", port: server.port, servername: "localhost", ca, allowHalfOpen: true };
  const socket = connect(options);
  let text = "";
  socket.on("data", (piece) => (text += String(piece)));
  socket.write(request);
  await once(socket, "end");
  return text;
}

const health = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

test("the official client creates a sandbox and uses it", async () => {
  const { token, org } = server.server.development;
  const url = `https://localhost:${server.port}`;
  const program = `
    import { Client, Sandbox } from "@deno/sandbox";
    await using sandbox = await Sandbox.create();
    console.log(await sandbox.sh\`echo over TLS\`.text());
    console.log((await new Client().sandboxes.list()).length);
  `;
  const { stdout } = await execute(process.execPath, ["--input-type=module", "-e", program], {
    cwd: import.meta.dirname,
    timeout: 120_000,
    env: {
      ...process.env,
      NODE_EXTRA_CA_CERTS: path("ca.pem"),
      DENO_DEPLOY_ENDPOINT: url,
      DENO_SANDBOX_ENDPOINT: url,
      DENO_DEPLOY_TOKEN: token,
      DENO_DEPLOY_ORG: org,
    },
  });
  assert.match(stdout, /^over TLS\s+1\s*$/);
  assert.ok(!server.lines.some((line) => line.includes("listens without TLS")));
});

test("pages have the origin of HTTPS, heads are small, and refused upgrades end", async () => {
  const ca = authority.certificatePem;
  const upgrade = (origin: string) =>
    `GET /api/v3/sandboxes/create HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\norigin: ${origin}\r\n\r\n`;
  assert.match(await ask(upgrade("https://localhost"), ca), /^HTTP\/1\.1 401 /);
  assert.match(await ask(upgrade("http://localhost"), ca), /^HTTP\/1\.1 403 /);
  assert.match(await ask(`GET / HTTP/1.1\r\nx: ${"a".repeat(100_000)}`, ca), /^HTTP\/1\.1 431 /);
  await until(5_000, "no connection", async () => (await heldConnections(server.port)) === 0 || undefined);
});

test("connections without a handshake count", async () => {
  const sockets = Array.from({ length: 60 }, () => connectPlain(server.port, "127.0.0.1").on("error", () => undefined));
  await until(5_000, "the limit", async () => (await heldConnections(server.port)) === 50 || undefined);
  sockets.forEach((socket) => socket.destroy());
  await until(5_000, "no connection", async () => (await heldConnections(server.port)) === 0 || undefined);
});

test("a renewed certificate is used without a restart, half a renewal is not", async () => {
  assert.match(await ask(health, authority.certificatePem), /^HTTP\/1\.1 200 /);
  const { cert } = await other.issue(["localhost"]);
  await writeFile(path("cert.pem"), cert);
  // The server looks every two seconds.
  await sleep(2_500);
  assert.match(await ask(health, authority.certificatePem), /^HTTP\/1\.1 200 /);
  await issue(other);
  await until(10_000, "the new certificate", async () => {
    return (await ask(health, other.certificatePem).catch(() => "")).startsWith("HTTP/1.1 200 ") || undefined;
  });
});

test("too many handshakes of one address are cut before they begin, and other addresses are served", async (t) => {
  const api = { cert: path("cert.pem"), key: path("key.pem"), handshakesPerAddress: 2 };
  const strict = await openBareServer({ config: { api } });
  t.after(() => strict.close());
  const shakesHands = (localAddress: string) =>
    new Promise<boolean>((resolve) => {
      const tcp = connectPlain({ host: "127.0.0.1", port: strict.port, localAddress });
      const socket = connect({ socket: tcp, servername: "localhost", rejectUnauthorized: false });
      socket.once("secureConnect", () => (resolve(true), socket.destroy()));
      for (const end of ["error", "close"]) socket.once(end, () => resolve(false));
    });
  const began = performance.now();
  const all = await Promise.all(Array.from({ length: 60 }, () => shakesHands("127.0.0.2")));
  const done = all.filter(Boolean).length;
  // Twenty at once, and two for each second that this took.
  const most = 20 + Math.ceil((performance.now() - began) / 500);
  assert.ok(done >= 20 && done <= most, `${done} of 60, at most ${most} expected`);
  assert.equal(await shakesHands("127.0.0.3"), true);
  await until(30_000, "a handshake after a while", async () => (await shakesHands("127.0.0.2")) || undefined);
});

test("certificates that cannot be used stop the start", async () => {
  const api = { cert: path("nowhere.pem"), key: path("key.pem") };
  await assert.rejects(openBareServer({ config: { api } }), /api\.cert and api\.key cannot be used: ENOENT/);
  assert.match(String(configSchema.safeParse({ api: { cert: "/a.pem" } }).error), /needs both `cert` and `key`/);
});
