/** The supervisor: processes that end are started again, and hold nothing where others can read it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { validateEgress } from "@caisson/policy";
import { CaissonError, type SecretBinding } from "@caisson/protocol";
import { Guest } from "../testing/guest.ts";
import { makeSecret, startHarness, startHttps, type Harness, type Upstream } from "../testing/harness.ts";
import { ask } from "../testing/talk.ts";

const secret = makeSecret(["api.test"]);
const headers = { authorization: `Bearer ${secret.placeholder}` };
const seed = randomBytes(32);
let upstream: Upstream;
let harness: Harness;
const seen: string[] = [];

before(async () => {
  upstream = await startHttps(["api.test"], (request, response) => {
    seen.push(request.headers.authorization ?? "");
    response.end(request.headers.authorization);
  });
  harness = await startHarness({
    policy: { allow: ["api.test"] },
    secrets: [secret],
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
    workers: 2,
    authoritySeed: seed,
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

test("a worker that is killed is started again, attached again, and trusted as before", async () => {
  assert.equal((await ask(harness.guest, "api.test", { headers })).text, headers.authorization);
  const before = harness.guest.sessions;
  const old = harness.guard.workerPids;
  for (const pid of old) process.kill(pid, "SIGKILL");
  for (let tries = 0; tries < 1000 && harness.guest.sessions === before; tries++) await sleep(10);
  // The guest still trusts the authority that it was given at first.
  assert.equal((await ask(harness.guest, "api.test", { headers })).text, headers.authorization);
  assert.equal(seen.at(-1), `Bearer ${secret.value}`);
  assert.ok(harness.guard.workerPids.every((pid) => !old.includes(pid)));
});

test("a worker that hangs is ended and started again", { timeout: 60_000 }, async () => {
  const before = harness.guest.sessions;
  const old = harness.guard.workerPids;
  for (const pid of old) process.kill(pid, "SIGSTOP");
  for (let tries = 0; tries < 4000 && harness.guest.sessions === before; tries++) await sleep(10);
  assert.equal((await ask(harness.guest, "api.test", { headers })).text, headers.authorization);
});

test("a worker's arguments, environment and limits show no secret and no core dump", async () => {
  for (const pid of harness.guard.workerPids) {
    for (const file of ["cmdline", "environ"]) {
      const text = await readFile(`/proc/${pid}/${file}`, "latin1");
      for (const hidden of [secret.value, secret.placeholder, seed.toString("hex"), "HOME=", "PATH="])
        assert.ok(!text.includes(hidden), file);
    }
    assert.match(await readFile(`/proc/${pid}/limits`, "utf8"), /Max core file size\s+0\s+0/);
  }
});

async function second(
  id: string,
  secrets = [makeSecret(["api.test"])],
): Promise<{ guest: Guest; ca: string; secrets: typeof secrets; close: () => Promise<void> }> {
  const path = join(harness.directory, `${id}.sock`);
  const guest = await Guest.listen(path);
  const { caCertificatePem } = await harness.guard.attach({
    sandboxId: id,
    socketPath: path,
    policy: { allow: ["api.test"] },
    secrets,
  });
  guest.ca = caCertificatePem;
  return {
    guest,
    ca: caCertificatePem,
    secrets,
    close: async () => {
      await harness.guard.detach(id);
      await guest.close();
    },
  };
}

test("authority and placeholders of one sandbox are worth nothing in another", async () => {
  const other = await second("sbx_other");
  try {
    assert.notEqual(other.ca, harness.guest.ca);
    await assert.rejects(other.guest.connectTls("api.test:443", { ca: harness.guest.ca }));
    seen.length = 0;
    await ask(other.guest, "api.test", { headers });
    assert.deepEqual(seen, [`Bearer ${secret.placeholder}`]);
    await ask(other.guest, "api.test", { headers: { authorization: other.secrets[0]!.placeholder } });
    assert.equal(seen.at(-1), other.secrets[0]!.value);
  } finally {
    await other.close();
  }
});

test("a detached sandbox has no network any more, also on connections that were open", async () => {
  const other = await second("sbx_detached");
  const socket = await other.guest.connectTls("api.test:443");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await harness.guard.detach("sbx_detached");
  await closed;
  await other.guest.close();
});

test("the same seed gives the same authority, another seed another", async () => {
  const { createSandboxAuthority } = await import("../authority/sandbox-authority.ts");
  const { X509Certificate } = await import("node:crypto");
  const key = async (from: Uint8Array, id: string): Promise<string> =>
    String(
      new X509Certificate((await createSandboxAuthority(from, id)).certificatePem).publicKey.export({
        type: "spki",
        format: "pem",
      }),
    );
  assert.equal(await key(seed, "a"), await key(seed, "a"));
  assert.notEqual(await key(seed, "a"), await key(seed, "b"));
  assert.notEqual(await key(seed, "a"), await key(randomBytes(32), "a"));
});

test("what cannot be protected is refused when it is asked about and when it is attached", async () => {
  const refused = async (secrets: readonly SecretBinding[]): Promise<void> => {
    const told = (error: unknown): boolean =>
      error instanceof CaissonError && error.code === "invalid_argument" && !error.message.includes(secret.value);
    assert.throws(() => validateEgress({}, secrets), told);
    await assert.rejects(
      harness.guard.attach({ sandboxId: "sbx_bad", socketPath: "/nowhere", policy: {}, secrets }),
      told,
    );
  };
  for (const more of [
    { value: "abc" },
    { value: "x".repeat(20_000) },
    { value: "abc".repeat(100) },
    { placeholder: "short" },
    { placeholder: 'has "quotes" and spaces' },
    { hosts: ["*"] },
    { hosts: [] },
    { value: "half of a pair: \ud800" },
    { value: "\udc00\ud800 the wrong way round" },
  ]) {
    await refused([{ ...secret, ...more }]);
  }
  const many = (count: number, bytes: number) =>
    Array.from({ length: count }, () => makeSecret(["api.test"], { value: randomBytes(bytes / 2).toString("hex") }));
  await refused(many(65, 100));
  await refused(many(3, 12_000));
  validateEgress({}, many(64, 512));
  validateEgress({}, [{ ...secret, value: "a whole pair: \ud83d\udd11" }]);
});

test("an attach that is cancelled leaves nothing behind", async () => {
  await assert.rejects(
    harness.guard.attach(
      { sandboxId: "sbx_cancelled", socketPath: join(harness.directory, "none.sock"), policy: {}, secrets: [] },
      { signal: AbortSignal.abort() },
    ),
  );
  await harness.guard.detach("sbx_cancelled");
});

test("events say who, where, what and why, and never a value", async () => {
  harness.events.length = 0;
  await ask(harness.guest, "api.test", { path: `/p?q=${secret.placeholder}`, headers });
  const request = await harness.event((event) => event.kind === "request");
  const connection = await harness.event(
    (event) => event.kind === "connection" && event.connection === request.connection,
  );
  assert.deepEqual(
    {
      host: request.host,
      port: request.port,
      address: request.address,
      method: request.method,
      path: request.path,
      status: request.status,
      verdict: request.verdict,
      secrets: request.secrets,
      protocol: request.protocol,
    },
    {
      host: "api.test",
      port: 443,
      address: "127.0.0.1",
      method: "GET",
      path: "/p",
      status: 200,
      verdict: "allowed",
      secrets: ["API_KEY"],
      protocol: "http/1.1",
    },
  );
  assert.ok(connection.bytesOut > 0);
  assert.ok(!JSON.stringify(harness.events).includes(secret.value));
});
