/** Keys that an organisation asks SSH clients for, with OpenSSH's own keys and agent: the whole control plane. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import ssh2, { type ParsedKey } from "ssh2";
import { until, WireClient } from "@caisson/testing";
import { controlPlane, type ControlPlane } from "./control-plane.ts";
import { OpenSsh, type SshAddress } from "./openssh.ts";
import { program } from "./programs.ts";

let plane: ControlPlane;
let sandbox: WireClient;
let address: SshAddress;
let directory: string;
const path = (name: string) => join(directory, name);

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-ssh-keys-"));
  plane = await controlPlane();
  sandbox = await WireClient.open({ env: plane.env, config: { stop_at_ms: Date.now() + 600_000 } });
  const id = String(sandbox.headers["x-deno-sandbox-id"]);
  address = (await (await plane.rest(`/api/v3/sandbox/${id}/expose/ssh`, "POST")).json()) as SshAddress;
  for (const [name, ...options] of [
    ["ed25519", "-t", "ed25519"],
    ["ecdsa", "-t", "ecdsa"],
    ["rsa", "-t", "rsa", "-b", "2048"],
    ["foreign", "-t", "ed25519"],
    ["short", "-t", "rsa", "-b", "1024"],
  ] as const)
    assert.equal((await program("ssh-keygen", ["-q", "-N", "", ...options, "-f", path(name)])).code, 0);
});
after(async () => {
  await plane.close();
  await rm(directory, { recursive: true });
});

interface Key {
  readonly id: string;
  readonly fingerprint: string;
}

const publicKey = (name: string) => readFile(path(`${name}.pub`), "utf8");
const register = async (name: string, text?: string) =>
  plane.rest("/api/v1/ssh/keys", "POST", { name, publicKey: text ?? (await publicKey(name)) });
const client = (key: string, ...lines: string[]) =>
  new OpenSsh(address, plane.ssh.publicKey, [`IdentityFile ${key}`, "IdentitiesOnly yes", ...lines]);
const login = (key: string, ...lines: string[]) => client(key, ...lines).run("ssh", ["sandbox", "echo in"]);

/** @returns why the login failed; "in": it did not */
async function attempt(key: ParsedKey): Promise<string> {
  const { hostname: host, port, username } = address;
  const one = new ssh2.Client();
  const result = new Promise<string>((resolve) => {
    one.once("error", ({ message }) => resolve(message)).once("ready", () => resolve("in"));
  });
  one.connect({
    host,
    port,
    username,
    authHandler: [{ type: "publickey", username, key } as never],
    readyTimeout: 60_000,
  });
  return result.finally(() => one.end());
}

test("what is no key that clients can log in with is refused, and says why", async () => {
  for (const [text, why] of [
    [await readFile(path("ed25519"), "utf8"), /private key/],
    [await publicKey("short"), /2048 to 8192 bits; this one has 1024/],
    [(await publicKey("ed25519")).split(" ", 2).join(" ").slice(0, -8), /damaged/],
    [`command="id" ${await publicKey("ed25519")}`, /no public key of the types/],
    [`${await publicKey("ed25519")}${await publicKey("rsa")}`, /no public key of the types/],
    ["ssh-ed25519 AAAA", /damaged/],
  ] as const) {
    const answer = await register("bad", text);
    assert.equal(answer.status, 400, text);
    assert.match(((await answer.json()) as { message: string }).message, why);
  }
  const named = await plane.rest("/api/v1/ssh/keys", "POST", { name: "\0", publicKey: await publicKey("rsa") });
  assert.equal(named.status, 400);
  assert.equal((await plane.rest("/api/v1/ssh/keys/%00", "DELETE")).status, 404);
  assert.deepEqual(await (await plane.rest("/api/v1/ssh/keys")).json(), []);
});

test("with registered keys a login needs the user name and one of them", { timeout: 180_000 }, async () => {
  assert.equal((await login("none")).stdout, "in\n");
  const keys: Key[] = [];
  for (const name of ["ed25519", "ecdsa", "rsa"]) {
    const answer = await register(name);
    assert.equal(answer.status, 201);
    keys.push((await answer.json()) as Key);
  }
  assert.equal((await register("again", await publicKey("rsa"))).status, 409);
  const { stdout } = await program("ssh-keygen", ["-lf", path("rsa.pub")]);
  assert.equal(keys[2]!.fingerprint, stdout.split(" ")[1]);
  for (const name of ["ed25519", "ecdsa", "rsa"])
    assert.deepEqual(await login(path(name)), { code: 0, stdout: "in\n", stderr: "" });

  // Without a key, or with another one, and with the key but another user name.
  const nobody = await login("none");
  assert.deepEqual([nobody.code, nobody.stdout], [255, ""]);
  assert.match(nobody.stderr, /Permission denied \(publickey,keyboard-interactive\)/);
  const foreign = await login(path("foreign"), "LogLevel INFO");
  assert.deepEqual([foreign.code, foreign.stdout], [255, ""]);
  assert.match(foreign.stderr, /Caisson: .*lets in only its registered SSH keys, and SHA256:\S+ is none of them/);
  const asked = await login(path("foreign"), "BatchMode no");
  assert.equal(asked.code, 255);
  assert.match(asked.stderr, /Caisson: .*one of its registered SSH keys.*POST \/api\/v1\/ssh\/keys/);
  const other = new OpenSsh({ ...address, username: "w".repeat(32) }, plane.ssh.publicKey, [
    `IdentityFile ${path("ed25519")}`,
  ]);
  assert.match((await other.run("ssh", ["sandbox", "true"])).stderr, /no running sandbox has this user name/);

  // A key that is shown, but whose owner this client is not.
  const thief = ssh2.utils.parseKey(await readFile(path("foreign"))) as ParsedKey;
  const shown = Buffer.from((await publicKey("ed25519")).split(" ")[1]!, "base64");
  assert.equal(
    await attempt(Object.assign(thief, { getPublicSSH: () => shown })),
    "All configured authentication methods failed",
  );
  assert.equal(await attempt(ssh2.utils.parseKey(await readFile(path("ed25519"))) as ParsedKey), "in");

  // The end of a key ends what it opened; the end of the last one asks for none again.
  const running = client(path("ecdsa")).start(["sandbox", "echo started; sleep 600"]);
  let words = "";
  running.stderr.on("data", (part: Buffer) => (words += String(part)));
  const closed = once(running, "close");
  await once(running.stdout, "data");
  assert.equal((await plane.rest(`/api/v1/ssh/keys/${keys[1]!.id}`, "DELETE")).status, 204);
  assert.deepEqual(await closed, [255, null]);
  assert.match(words, /the key of this login was removed/);
  assert.equal((await login(path("ecdsa"))).code, 255);
  assert.equal((await login(path("rsa"))).stdout, "in\n");
  assert.equal((await plane.rest(`/api/v1/ssh/keys/${keys[1]!.id}`, "DELETE")).status, 404);
  for (const at of [0, 2]) await plane.rest(`/api/v1/ssh/keys/${keys[at]!.id}`, "DELETE");
  assert.equal((await login("none")).stdout, "in\n");

  const rules = await until(30_000, "the audit", async () => {
    const events = (await (await plane.rest("/api/v1/audit?limit=1000")).json()) as { rule: string; detail: string }[];
    const found = events.filter(({ rule }) => rule.startsWith("ssh-key"));
    if (!events.some(({ rule, detail }) => rule === "ssh-login" && detail.includes(`, key ${keys[0]!.fingerprint}, `)))
      return undefined;
    return found.length === 6 ? found.map(({ rule }) => rule) : undefined;
  });
  assert.equal(rules.filter((rule) => rule === "ssh-key-removed").length, 3);
});
