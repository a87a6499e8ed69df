/** Hosts that are passed through unread, and hosts with certificates of their own: client certificates, pins, private authorities. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer as createHttps } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { CaissonError, type EgressPolicy } from "@caisson/protocol";
import { createAuthority, type Authority } from "../authority/authority.ts";
import {
  makeSecret,
  startHarness,
  startTcp,
  upstreamAuthority,
  type Harness,
  type Upstream,
} from "../testing/harness.ts";
import { ask, askOver, raw } from "../testing/talk.ts";

const secret = makeSecret(["key.test"]);
let authority: Authority;
let directory: string;
let selfSigned: { key: string; cert: string };
const upstreams: Upstream[] = [];
let harness: Harness;

const answered = "who: ";
async function serve(identity: { key: string; cert: string }, clients = false): Promise<string> {
  const server = createHttps(
    { ...identity, ...(clients && { requestCert: true, rejectUnauthorized: true, ca: selfSigned.cert }) },
    (request, response) => {
      const peer = (request.socket as TLSSocket).getPeerCertificate();
      response.end(answered + String(peer.subject?.CN ?? "nobody"));
    },
  );
  const upstream = await startTcp(server);
  upstreams.push(upstream);
  return `127.0.0.1:${upstream.port}`;
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-exceptions-"));
  authority = await createAuthority("Private authority");
  const file = (name: string): string => join(directory, name);
  const [key, cert] = [file("key.pem"), file("cert.pem")];
  const subject = ["-subj", "/CN=self.test", "-addext", "subjectAltName=DNS:self.test", "-days", "2"];
  execFileSync(
    "openssl",
    [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      key,
      "-out",
      cert,
      ...subject,
    ],
    { stdio: "ignore" },
  );
  selfSigned = { key: await readFile(key, "utf8"), cert: await readFile(cert, "utf8") };
  const mutual = await serve(await authority.issue(["mtls.test"]), true);
  const own = await serve(await authority.issue(["private.test"]));
  const self = await serve(selfSigned);
  const publicly = await serve(await upstreamAuthority.issue(["private.test", "key.test"]));
  harness = await startHarness({
    policy: {
      allow: ["mtls.test", "private.test", "self.test", "key.test", "proxy.test"],
      passThrough: ["mtls.test", "proxy.test:3128"],
      authorities: { "private.test:443": authority.certificatePem, "self.test": selfSigned.cert },
    },
    secrets: [secret],
    resolve: {
      "mtls.test": mutual,
      "private.test": own,
      "private.test:8443": own,
      "private.test:9443": publicly,
      "self.test": self,
      "key.test": publicly,
      "proxy.test": publicly,
    },
  });
});
after(async () => {
  await harness.close();
  for (const upstream of upstreams) await upstream.close();
  await rm(directory, { recursive: true });
});

test("a client certificate reaches a host that is passed through, and the program sees the host's own", async () => {
  const socket = await harness.guest.connectTls("mtls.test:443", {
    ca: authority.certificatePem,
    key: selfSigned.key,
    cert: selfSigned.cert,
  });
  assert.equal((await askOver(socket, "mtls.test")).text, `${answered}self.test`);
  const event = await harness.event((one) => one.host === "mtls.test");
  assert.deepEqual([event.kind, event.protocol, event.verdict], ["connection", "tls", "allowed"]);
});

test("a host that is passed through must still be named in TLS", async () => {
  await assert.rejects(
    harness.guest.connectTls("mtls.test:443", { servername: "key.test", rejectUnauthorized: false }),
  );
  await harness.refusal("sni-mismatch");
});

test("HTTP without TLS to such a host takes no placeholder along", async () => {
  const stream = await harness.guest.connect("mtls.test:80");
  const text = await raw(stream, `GET / HTTP/1.1\r\nHost: mtls.test\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
  assert.match(text, /403[^]*secret-not-approved/);
});

test("pass-through of one port is none of another", async () => {
  const text = await raw(
    await harness.guest.connect("proxy.test:8080"),
    "CONNECT x.test:443 HTTP/1.1\r\nHost: x.test:443\r\n\r\n",
  );
  assert.match(text, /connect-in-http/);
});

test("a private authority and a self-signed certificate are trusted for their hosts and ports alone", async () => {
  assert.equal((await ask(harness.guest, "private.test")).text, `${answered}nobody`);
  assert.equal((await ask(harness.guest, "self.test")).text, `${answered}nobody`);
  assert.equal(
    JSON.parse((await ask(harness.guest, "private.test", { port: 8443 })).text).rule,
    "upstream-certificate",
  );
  assert.equal((await ask(harness.guest, "private.test", { port: 9443 })).text, `${answered}nobody`);
  assert.equal((await ask(harness.guest, "key.test")).text, `${answered}nobody`);
});

test("a host with its own authority is not reached with a certificate of a public one", async () => {
  const other = await startHarness({
    policy: { authorities: { "key.test": authority.certificatePem } },
    secrets: [secret],
    resolve: { "key.test": `127.0.0.1:${upstreams.at(-1)!.port}` },
  });
  assert.equal(JSON.parse((await ask(other.guest, "key.test")).text).rule, "upstream-certificate");
  await other.close();
});

test("an authority of a host counts without a list as well, for programs that do not know it", async () => {
  const other = await startHarness({
    policy: { authorities: { "private.test": authority.certificatePem } },
    resolve: { "private.test": `127.0.0.1:${upstreams[1]!.port}` },
  });
  assert.equal((await ask(other.guest, "private.test")).text, `${answered}nobody`);
  await other.close();
});

const allow = ["key.test", "other.test"];
const refusals: Record<string, [EgressPolicy, RegExp]> = {
  "a host that a secret is for": [{ passThrough: ["key.test"] }, /the secret API_KEY is for key.test/],
  "another port of such a host": [{ passThrough: ["key.test:5432"] }, /the secret API_KEY/],
  "all names around such a host": [{ passThrough: ["*.test.example", "*.key.test", "key.test"] }, /the secret API_KEY/],
  "a host outside the list": [{ allow, passThrough: ["evil.test"] }, /does not allow/],
  "every host": [{ passThrough: ["*"] }, /would match every host/],
  "too many hosts": [{ passThrough: Array.from({ length: 65 }, (_, at) => `h${at}.test`) }, /at most 64/],
  "an authority outside the list": [{ allow, authorities: { "evil.test": "x" } }, /does not allow/],
  "text that is no certificate": [{ authorities: { "a.test": "hello" } }, /holds 0 certificates/],
  "a certificate that is damaged": [
    { authorities: { "a.test": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----" } },
    /cannot be read/,
  ],
  "an authority for a host that is passed through": [
    { passThrough: ["a.test"], authorities: { "a.test": "x" } },
    /is passed through/,
  ],
};
for (const [what, [policy, why]] of Object.entries(refusals)) {
  test(`refused: ${what}`, async () => {
    await assert.rejects(
      startHarness({ policy, secrets: [secret] }),
      (error) => error instanceof CaissonError && error.code === "invalid_argument" && why.test(error.message),
    );
  });
}

test("refused: a private key in place of a certificate", async () => {
  const policy = { authorities: { "a.test": selfSigned.key + selfSigned.cert } };
  await assert.rejects(startHarness({ policy }), /holds a private key/);
});
