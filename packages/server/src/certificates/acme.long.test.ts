/** Certificates by ACME from Pebble, the test authority of Let's Encrypt, for the real gateway: both challenges, renewal, sealed storage. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer as createTcp, type AddressInfo, type Server } from "node:net";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { after, before, test } from "node:test";
import { createAuthority, createGatewayAuthority } from "@caisson/egress";
import { createGateway } from "@caisson/gateway";
import { configSchema, type Config, type HttpGateway } from "@caisson/protocol";
import { goTool, until } from "@caisson/testing";
import { pino } from "pino";
import { openDatabase, type AnyDatabase } from "../kernel/database/open.ts";
import { createSealer } from "../kernel/sealing.ts";
import { migrations } from "../slices.ts";
import { Certificates } from "./certificates.ts";
import { CertificateStore } from "./store.ts";

const domain = "previews.test";
const signal = new AbortController().signal;
const log = pino({ level: "silent" });
const lines: string[] = [];
const failing = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
let home: string;
let db: AnyDatabase;
let store: CertificateStore;
let dns: Server;
let pebble: ChildProcess | undefined;
let directory: string;
let managementPort: number;
let gatewayPort: number;
let records: string;
let hook: string;

before(async () => {
  home = await mkdtemp(join(tmpdir(), "caisson-acme-"));
  db = await openDatabase({ home, migrations, log });
  store = new CertificateStore(db, createSealer(Buffer.alloc(32, 5)));
  records = join(home, "records");
  await writeFile(records, "");
  hook = join(home, "hook.sh");
  const script = `#!/bin/sh\nif [ "$1" = present ]; then echo "$2 $3" >> ${records}; else sed -i "/$2 $3/d" ${records}; fi\n`;
  await writeFile(hook, script);
  await chmod(hook, 0o755);
  dns = await serveDns(records);
  gatewayPort = await freePort();
  const tool = await goTool("github.com/letsencrypt/pebble/v2/cmd/pebble", "v2.10.3");
  if (tool !== undefined) await startPebble(tool);
});

after(async () => {
  pebble?.kill();
  dns?.close();
  await db?.destroy();
  await rm(home, { recursive: true, force: true });
});

async function startPebble(tool: string): Promise<void> {
  const authority = await createAuthority("Pebble's own");
  const leaf = await authority.issue(["127.0.0.1", "localhost"]);
  const [listenPort, management] = [await freePort(), await freePort()];
  managementPort = management;
  const path = (name: string) => join(home, name);
  await writeFile(path("ca.pem"), authority.certificatePem);
  await writeFile(path("cert.pem"), leaf.cert);
  await writeFile(path("key.pem"), leaf.key);
  const pebbleConfig = {
    listenAddress: `127.0.0.1:${listenPort}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: path("cert.pem"),
    privateKey: path("key.pem"),
    httpPort: 5002,
    tlsPort: gatewayPort,
    profiles: { default: { description: "short", validityPeriod: 7_776_000 } },
  };
  await writeFile(path("pebble.json"), JSON.stringify({ pebble: pebbleConfig }));
  const args = ["-config", path("pebble.json"), "-dnsserver", `127.0.0.1:${(dns.address() as AddressInfo).port}`];
  const env = { ...process.env, PEBBLE_VA_NOSLEEP: "1" };
  pebble = spawn(tool, args, { env, stdio: ["ignore", "ignore", "ignore"] });
  directory = `https://127.0.0.1:${listenPort}/dir`;
  await until(30_000, "Pebble", async () => (await fetchPem(listenPort, "/dir").catch(() => undefined)) ?? undefined);
}

/** The root that Pebble signs with: made anew at each start. */
const fetchPem = (port: number, path: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const agent = new Agent({ rejectUnauthorized: false });
    request({ host: "127.0.0.1", port, path, agent }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve(text));
    })
      .on("error", reject)
      .end();
  });

function configOf(acme: Record<string, unknown>): Config["gateway"] {
  const all = { directory, directoryCa: join(home, "ca.pem"), email: "ops@example.com", ...acme };
  return configSchema.parse({ gateway: { domain, acme: all } }).gateway;
}

async function openGateway(config: Config["gateway"], certificates: Certificates): Promise<HttpGateway> {
  const own = await createGatewayAuthority(Buffer.alloc(32, 6));
  const gateway = createGateway({ config, port: gatewayPort, issue: (hosts) => own.issue(hosts), log });
  await gateway.listen({ find: async () => "reserved", known: async (name) => name !== "nobody" }, certificates);
  return gateway;
}

/** Whether a browser that trusts only Pebble's root would accept the certificate. */
async function trusted(name: string, ca: string, below = `.${domain}`): Promise<boolean> {
  const options = { host: "127.0.0.1", port: gatewayPort, servername: `${name}${below}`, ca };
  const socket = connect(options);
  try {
    await once(socket, "secureConnect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

test(
  "a wildcard by DNS-01 and the hook, sealed at rest, loaded by another server, renewed in time",
  { timeout: 180_000 },
  async (t) => {
    if (pebble === undefined) return t.skip("Pebble cannot be built: Go or its module proxy is missing");
    const root = await fetchPem(managementPort, "/roots/0");
    const config = configOf({ challenge: "dns-01", dnsHook: hook, names: ["*", "*.acme.app"] });
    const certificates = new Certificates({ config, store, log: failing });
    const gateway = await openGateway(config, certificates);
    try {
      assert.equal(await trusted("abc", root), false);
      await renewUntil(certificates, 2);
      assert.deepEqual([...certificates.ends().keys()].toSorted(), [`*.${domain}`, `*.acme.app.${domain}`].toSorted());
      for (const name of ["abc", "shop.acme.app"]) assert.equal(await trusted(name, root), true, name);
      assert.equal(await trusted("a.b", root), false);
      assert.equal((await readFile(records, "utf8")).trim(), "", "the hook's records were not cleaned up");
      // A domain of an app: its zone is not ours, so it proves itself here.
      const customers = "shop.customer.test";
      assert.equal(await trusted(customers, root, ""), false);
      await renewUntil(certificates, 3);
      assert.equal(await trusted(customers, root, ""), true);
      await certificates.forget(customers);
      assert.deepEqual([certificates.ends().size, (await store.all()).length], [2, 2]);
      const before = certificates.find(`abc.${domain}`)!;
      await certificates.renew(signal);
      assert.equal(certificates.find(`abc.${domain}`), before, "nothing was due");
      const rows = JSON.stringify(
        await db
          .selectFrom("public_certificates" as never)
          .selectAll()
          .execute(),
      );
      assert.doesNotMatch(rows + (await readFile(join(home, "caisson.db"), "latin1").catch(() => "")), /PRIVATE KEY/);
      const other = new Certificates({ config, store, log });
      await other.load();
      assert.equal(other.find(`abc.${domain}`)?.cert, before.cert);
      const foreign = new CertificateStore(db, createSealer(Buffer.alloc(32, 9)));
      assert.deepEqual(await foreign.all(), [], "a server with another key starts without them");
      // As if two thirds of its time had passed.
      const stored = (await store.all()).find(({ host }) => host === `*.${domain}`)!;
      const due = new Certificates({ config, store, log: failing });
      await store.put({ ...stored, notBefore: Date.now() - 80 * 86_400_000, notAfter: Date.now() + 10 * 86_400_000 });
      await due.renew(signal);
      assert.notEqual(due.find(`abc.${domain}`)?.cert, before.cert);
    } finally {
      await gateway.close();
    }
  },
);

test("TLS-ALPN-01 for hostnames that are visited, without disturbing visitors", { timeout: 180_000 }, async (t) => {
  if (pebble === undefined) return t.skip("Pebble cannot be built: Go or its module proxy is missing");
  const root = await fetchPem(managementPort, "/roots/0");
  const config = configOf({ challenge: "tls-alpn-01" });
  for (const { host } of await store.all()) await store.remove(host);
  const certificates = new Certificates({ config, store, log: failing });
  const gateway = await openGateway(config, certificates);
  try {
    assert.equal(await trusted("one", root), false);
    assert.equal(await trusted("nobody", root), false);
    await renewUntil(certificates, 1);
    assert.equal(await trusted("one", root), true);
    assert.deepEqual([...certificates.ends().keys()], [`one.${domain}`], "a name that is nobody's got a certificate");
    // Nobody but an authority that asks now gets that protocol.
    const socket = connect({
      host: "127.0.0.1",
      port: gatewayPort,
      servername: `one.${domain}`,
      ALPNProtocols: ["acme-tls/1"],
    });
    await assert.rejects(once(socket, "secureConnect"));
  } finally {
    await gateway.close();
  }
  // As if two thirds of its time had passed.
  const [stored] = await store.all();
  await store.put({ ...stored!, notBefore: Date.now() - 80 * 86_400_000, notAfter: Date.now() + 10 * 86_400_000 });
  const later = new Certificates({ config, store, log: failing });
  const again = await openGateway(config, later);
  try {
    await later.renew(signal);
    assert.equal((await store.all())[0]!.cert, stored!.cert, "renewed, though nobody visits it");
    assert.equal(await trusted("one", root), true);
    await later.renew(signal);
    assert.notEqual((await store.all())[0]!.cert, stored!.cert, lines.join("\n"));
  } finally {
    await again.close();
  }
});

test("a hook that fails is named, and the next try waits", { timeout: 60_000 }, async (t) => {
  if (pebble === undefined) return t.skip("Pebble cannot be built: Go or its module proxy is missing");
  const bad = join(home, "bad.sh");
  await writeFile(bad, "#!/bin/sh\necho no such zone >&2\nexit 1\n");
  await chmod(bad, 0o755);
  for (const { host } of await store.all()) await store.remove(host);
  const certificates = new Certificates({
    config: configOf({ challenge: "dns-01", dnsHook: bad, names: ["*.other"] }),
    store,
    log: failing,
  });
  lines.length = 0;
  await certificates.renew(signal);
  await certificates.renew(signal);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /dnsHook failed at `present _acme-challenge\.other\.previews\.test`: no such zone/);
});

/** Pebble refuses some requests on purpose; the next round goes on. */
async function renewUntil(certificates: Certificates, count: number): Promise<void> {
  await certificates.renew(signal);
  assert.equal(certificates.ends().size, count, lines.join("\n"));
}

async function freePort(): Promise<number> {
  const server = createTcp().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Answers TXT questions from a file of `name value` lines, and A questions with 127.0.0.1. */
async function serveDns(file: string): Promise<Server> {
  const server = createTcp((socket) => {
    socket.on("error", () => undefined);
    // Each message begins with its length (RFC 1035 4.2.2).
    socket.on("data", (piece) => {
      void answerDns(piece.subarray(2), file).then((answer) => {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([length, answer]));
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function answerDns(query: Buffer, file: string): Promise<Buffer> {
  const labels: string[] = [];
  let at = 12;
  while (query[at] !== 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + query[at]!));
    at += 1 + query[at]!;
  }
  const name = labels.join(".").toLowerCase();
  const type = query.readUInt16BE(at + 1);
  const question = query.subarray(12, at + 5);
  const values = (await readFile(file, "utf8"))
    .split("\n")
    .map((line) => line.split(" "))
    .flatMap(([owner, value = ""]) => (owner === name ? [value] : []));
  const data =
    type === 16
      ? values.map((value) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]))
      : type === 1
        ? [Buffer.from([127, 0, 0, 1])]
        : [];
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(data.length, 6);
  const answers = data.map((bytes) => {
    const record = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length]);
    return Buffer.concat([record, bytes]);
  });
  return Buffer.concat([head, question, ...answers]);
}
