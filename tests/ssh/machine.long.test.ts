/** SSH into real machines: an editor in a terminal that changes its size, rsync of many files, and what forwarding must not reach. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { sharedPlatform, until } from "@caisson/testing";
import { OpenSsh, type SshAddress } from "./openssh.ts";
import { program } from "./programs.ts";

const { env } = await sharedPlatform();
let sandbox: Sandbox;
let client: OpenSsh;
let directory: string;
const path = (name: string) => join(directory, name);

const api = (place: string, method = "GET") =>
  fetch(`${env.DENO_DEPLOY_ENDPOINT}${place}`, {
    method,
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
    ...(method === "POST" && { body: "{}" }),
  });

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-machine-"));
  sandbox = await Sandbox.create({ timeout: "30m" });
  const address = (await (await api(`/api/v3/sandbox/${sandbox.id}/expose/ssh`, "POST")).json()) as SshAddress;
  const { publicKey } = (await (await api("/api/v1/ssh/host-key")).json()) as { publicKey: string };
  client = new OpenSsh(address, publicKey);
});
after(async () => {
  await rm(directory, { recursive: true, force: true });
  // A platform of this file alone has ended by then.
  await sandbox.kill().catch(() => undefined);
});

const ssh = (...args: string[]) => client.run("ssh", ["sandbox", ...args]);

test("an editor of the sandbox in tmux of the client follows its size, and saves", { timeout: 240_000 }, async () => {
  const tmux = (...args: string[]) => program("tmux", ["-S", path("outer"), ...args]);
  const screen = (what: RegExp) =>
    until(90_000, String(what), async () => {
      const { stdout } = await tmux("capture-pane", "-p");
      return what.test(stdout) ? stdout : undefined;
    });
  const command = `ssh -F ${client.config} -t sandbox nano -z /home/app/edited`;
  await tmux("-f", "/dev/null", "new-session", "-d", "-x", "90", "-y", "30", command);
  try {
    const rows = (text: string) => text.split("\n").findIndex((line) => line.includes("^X"));
    const small = await screen(/\^X Exit/);
    await tmux("send-keys", "written by an editor");
    await screen(/written by an editor/);
    await tmux("resize-window", "-x", "120", "-y", "45");
    // Its last lines are at the bottom of the terminal.
    await until(90_000, "the new size", async () => {
      const { stdout } = await tmux("capture-pane", "-p");
      return rows(stdout) === rows(small) + 15 ? true : undefined;
    });
    await tmux("send-keys", "C-o");
    await screen(/File Name to Write/);
    await tmux("send-keys", "Enter");
    await screen(/Wrote 1 line/);
    assert.equal((await ssh("cat /home/app/edited")).stdout, "written by an editor\n");
  } finally {
    await tmux("kill-server");
  }
});

test("rsync -a of 5,000 files, and of the one that has changed", { timeout: 290_000 }, async () => {
  for (let folder = 0; folder < 50; folder++) {
    await mkdir(path(`tree/${folder}`), { recursive: true });
    await Promise.all(
      Array.from({ length: 100 }, (_, at) => writeFile(path(`tree/${folder}/${at}`), `${folder} ${at}\n`)),
    );
  }
  const sync = () =>
    program("rsync", ["-a", "--stats", "-e", `ssh -F ${client.config}`, path("tree/"), "sandbox:copy/"], "", 240);
  const first = await sync();
  assert.equal(first.code, 0, first.stderr);
  const sums = (tree: string) => `cd ${tree} && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum`;
  const own = await program("bash", ["-c", sums(path("tree"))]);
  assert.equal((await ssh(sums("copy"))).stdout, own.stdout);
  await writeFile(path("tree/7/7"), "changed content\n");
  assert.match((await sync()).stdout, /Number of regular files transferred: 1\n/);
  assert.equal((await ssh("cat copy/7/7")).stdout, "changed content\n");
});

test(
  "forwarding reaches this sandbox only: neither the node, nor the control plane, nor another sandbox",
  { timeout: 290_000 },
  async () => {
    const onNode = createServer((socket) => socket.end("the node")).listen(path("node"));
    const portOnNode = createServer((socket) => socket.end("the node")).listen(0, "127.0.0.1");
    await once(portOnNode, "listening");
    const { port } = portOnNode.address() as AddressInfo;
    await using other = await Sandbox.create();
    const serve = (machine: Sandbox, at: number) =>
      machine.spawn("python3", {
        args: ["-m", "http.server", String(at), "--bind", "0.0.0.0"],
        stdout: "null",
        stderr: "null",
      });
    await using own = await serve(sandbox, 8123);
    await using theirs = await serve(other, 8124);
    void own;
    void theirs;
    const plane = Number(new URL(env.DENO_DEPLOY_ENDPOINT).port);
    const name = (await api("/healthz")).ok ? "127.0.0.1" : "localhost";
    // What each listener here leads to, by the sandbox's side.
    const targets = {
      own: "127.0.0.1:8123",
      plane: `${name}:${plane}`,
      "port of the node": `127.0.0.1:${port}`,
      "socket of the node": path("node"),
      "other sandbox": "127.0.0.1:8124",
      "other sandbox by name": `${other.id}:8124`,
    };
    const listeners = Object.keys(targets).map((_, at) => path(`local${at}`));
    const inside = 18_125;
    const tunnel = client.start([
      "-N",
      ...Object.values(targets).flatMap((target, at) => ["-L", `${listeners[at]!}:${target}`]),
      ...["-R", `0.0.0.0:${inside}:127.0.0.1:9`],
      "sandbox",
    ]);
    try {
      const said = (socket: Socket) =>
        new Promise<string>((resolve) => {
          let text = "";
          socket.on("data", (data: Buffer) => (text += String(data)));
          socket.once("error", ({ message }) => resolve(message));
          socket.once("close", () => resolve(text));
          socket.write("GET / HTTP/1.0\r\n\r\n");
        });
      // Each way works where it should: into this sandbox, and on the node for those that are there.
      await until(120_000, "an answer of this sandbox", async () =>
        (await said(connect(listeners[0]!))).startsWith("HTTP/1.0 200") ? true : undefined,
      );
      assert.match(await said(connect(path("node"))), /the node/);
      assert.match(await said(connect(port, "127.0.0.1")), /the node/);
      for (const [at, [what]] of Object.entries(targets).entries())
        if (what !== "own") assert.equal(await said(connect(listeners[at]!)), "", what);
      // What -R opens listens inside, and not on the node.
      const tried = `python3 -c 'import socket; socket.create_connection(("127.0.0.1", ${inside}), 30)'`;
      await until(120_000, "the port inside", async () => ((await ssh(tried)).code === 0 ? true : undefined));
      assert.match(await said(connect(inside, "127.0.0.1")), /ECONNREFUSED/);
    } finally {
      const ended = once(tunnel, "close");
      tunnel.kill();
      await ended;
      onNode.close();
      portOnNode.close();
    }
  },
);
