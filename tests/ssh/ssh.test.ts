/** SSH into sandboxes with OpenSSH's own programs. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { sharedPlatform, until } from "@caisson/testing";
import { OpenSsh, type SshAddress } from "./openssh.ts";

const { env } = await sharedPlatform();
let sandbox: Sandbox;
let client: OpenSsh;

/** The JavaScript client drops the port. */
async function expose(id: string): Promise<SshAddress> {
  const answer = await fetch(`${env.DENO_DEPLOY_ENDPOINT}/api/v3/sandbox/${id}/expose/ssh`, {
    method: "POST",
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
    body: "{}",
  });
  assert.equal(answer.status, 200);
  return (await answer.json()) as SshAddress;
}

async function hostKey(): Promise<string> {
  const answer = await fetch(`${env.DENO_DEPLOY_ENDPOINT}/api/v1/ssh/host-key`);
  return ((await answer.json()) as { publicKey: string }).publicKey;
}

before(async () => {
  sandbox = await Sandbox.create();
  client = new OpenSsh(await expose(sandbox.id), await hostKey());
});
// A platform of this file alone has ended by then.
after(() => sandbox.kill().catch(() => undefined));

const ssh = (...args: string[]) => client.run("ssh", ["sandbox", ...args]);

test("a command has its output, its errors and its exit code", async () => {
  assert.deepEqual(await ssh("echo out; echo err >&2; exit 7"), { code: 7, stdout: "out\n", stderr: "err\n" });
  assert.equal((await ssh("id -un; pwd")).stdout, "app\n/home/app\n");
  assert.equal((await ssh("kill -KILL $$")).code, 255);
  assert.equal((await ssh("/no/such/program")).code, 127);
});

test("input reaches the command, and its end", async () => {
  const data = randomBytes(300_000).toString("base64");
  const { code, stdout } = await client.run("ssh", ["sandbox", "sha256sum"], data);
  assert.deepEqual([code, stdout.split(" ")[0]], [0, createHash("sha256").update(data).digest("hex")]);
});

test("a terminal has a size and a type, and a login shell runs in it", async () => {
  const { code, stdout } = await client.run("ssh", ["-tt", "sandbox"], "tty; stty size; echo is-$TERM; exit 4\n");
  assert.equal(code, 4);
  assert.match(stdout, /\/dev\/pts\/\d/);
  assert.match(stdout, /is-\w/);
  assert.equal((await ssh("tty")).stdout, "not a tty\n");
});

test("files come and go by scp, in both protocols, and by sftp", async () => {
  const directory = await mkdtemp(join(tmpdir(), "caisson-scp-"));
  const data = randomBytes(2_000_000);
  await writeFile(join(directory, "data"), data);
  for (const protocol of [[], ["-O"]]) {
    assert.deepEqual(await client.run("scp", [...protocol, join(directory, "data"), "sandbox:/tmp/copied"]), {
      code: 0,
      stdout: "",
      stderr: "",
    });
    assert.deepEqual(Buffer.from(await sandbox.fs.readFile("/tmp/copied")), data);
    const { code } = await client.run("scp", [...protocol, "sandbox:/tmp/copied", join(directory, "back")]);
    assert.deepEqual([code, await readFile(join(directory, "back"))], [0, data]);
  }
  const { code, stdout } = await client.run(
    "sftp",
    ["-b", "-", "sandbox"],
    "mkdir /tmp/made\nput /etc/hostname /tmp/made/name\nls /tmp/made\n",
  );
  assert.equal(code, 0);
  assert.match(stdout, /\/tmp\/made\/name/);
});

test("a port of the sandbox is forwarded, and a port of the node is not", async () => {
  await using server = await sandbox.spawn("python3", {
    args: ["-m", "http.server", "8123", "--bind", "127.0.0.1"],
    stdout: "null",
    stderr: "null",
  });
  void server;
  const answered = await until(20_000, "an answer through -W", async () => {
    const { stdout } = await client.run("ssh", ["-W", "localhost:8123", "sandbox"], "GET / HTTP/1.0\r\n\r\n");
    return stdout.startsWith("HTTP/1.0 200") ? stdout : undefined;
  });
  assert.match(answered, /SimpleHTTP/);
  // The API of the platform, at the same address from its host's point of view.
  const { port } = new URL(env.DENO_DEPLOY_ENDPOINT);
  assert.notEqual(
    (await client.run("ssh", ["-W", `127.0.0.1:${port}`, "sandbox"], "GET /healthz HTTP/1.0\r\n\r\n")).code,
    0,
  );
  const tunnel = client.start(["-N", "-L", "127.0.0.1:18123:localhost:8123", "sandbox"]);
  try {
    await until(
      20_000,
      "the tunnel",
      () =>
        new Promise<true | undefined>((resolve) => {
          const socket = connect(18_123, "127.0.0.1", () => (socket.destroy(), resolve(true)));
          socket.once("error", () => resolve(undefined));
        }),
    );
    assert.equal((await fetch("http://127.0.0.1:18123/")).status, 200);
  } finally {
    tunnel.kill();
  }
});

test("sessions that have ended make room for others, on one connection", async () => {
  const directory = await mkdtemp(join(tmpdir(), "caisson-mux-"));
  const control = join(directory, "socket");
  const master = client.start(["-M", "-N", "-S", control, "sandbox"]);
  try {
    await until(20_000, "the control socket", async () =>
      (await client.run("ssh", ["-S", control, "-O", "check", "sandbox"])).code === 0 ? true : undefined,
    );
    // More than a sandbox can have at a time.
    for (let at = 0; at < 70; at++)
      assert.deepEqual(await client.run("ssh", ["-S", control, "sandbox", `echo ${at}`]), {
        code: 0,
        stdout: `${at}\n`,
        stderr: "",
      });
  } finally {
    master.kill();
  }
});

test("a user name of nobody is refused, and one ends with its sandbox", async () => {
  const address = await expose(sandbox.id);
  const stranger = new OpenSsh({ ...address, username: "a".repeat(32) }, await hostKey());
  assert.equal((await stranger.run("ssh", ["sandbox", "true"])).code, 255);
  await using short = await Sandbox.create();
  const own = new OpenSsh(await expose(short.id), await hostKey());
  const running = own.start(["sandbox", "echo started; sleep 100"]);
  const ended = new Promise<number | null>((resolve) => running.once("close", resolve));
  await new Promise((resolve) => running.stdout.once("data", resolve));
  await short.kill();
  assert.equal(await ended, 255);
  assert.equal((await own.run("ssh", ["sandbox", "true"])).code, 255);
});
