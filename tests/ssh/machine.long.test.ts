/** SSH into real machines: an editor in a terminal that changes its size, rsync of many files, and what forwarding must not reach. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
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

/** Milliseconds until a wait has failed on a quiet host, and until a program or a test has on any. */
const [patience, programLimit, limit] = [60_000, 300_000, 900_000];
const ssh = (...args: string[]) => program("ssh", ["-F", client.config, "sandbox", ...args], "", programLimit / 1000);

test("an editor of the sandbox in tmux of the client follows its size, and saves", { timeout: limit }, async () => {
  const tmux = (...args: string[]) => program("tmux", ["-S", path("outer"), ...args]);
  const screen = (what: RegExp) =>
    until(patience, String(what), async () => {
      const { stdout } = await tmux("capture-pane", "-p");
      return what.test(stdout) ? stdout : undefined;
    });
  const command = `ssh -F ${client.config} -t sandbox nano /home/app/edited`;
  await tmux("-f", "/dev/null", "new-session", "-d", "-x", "90", "-y", "30", command);
  try {
    const rows = (text: string) => text.split("\n").findIndex((line) => line.includes("^X"));
    const small = await screen(/\^X Exit/);
    await tmux("send-keys", "written by an editor");
    await screen(/written by an editor/);
    await tmux("resize-window", "-x", "120", "-y", "45");
    // Its last lines are at the bottom of the terminal.
    await until(patience, "the new size", async () => {
      const { stdout } = await tmux("capture-pane", "-p");
      return rows(stdout) === rows(small) + 15 ? true : undefined;
    });
    // The editor drops a key that comes while it draws itself anew.
    await until(patience, "the question for a name", async () => {
      if ((await tmux("capture-pane", "-p")).stdout.includes("Write to File")) return true;
      await tmux("send-keys", "C-o");
      await sleep(3_000);
      return undefined;
    });
    await tmux("send-keys", "Enter");
    await screen(/Wrote 1 line/);
    assert.equal((await ssh("cat /home/app/edited")).stdout, "written by an editor\n");
  } finally {
    await tmux("kill-server");
  }
});

test("rsync -a of 5,000 files, and of the one that has changed", { timeout: limit }, async () => {
  for (let folder = 0; folder < 50; folder++) {
    await mkdir(path(`tree/${folder}`), { recursive: true });
    await Promise.all(
      Array.from({ length: 100 }, (_, at) => writeFile(path(`tree/${folder}/${at}`), `${folder} ${at}\n`)),
    );
  }
  const sync = () =>
    program(
      "rsync",
      ["-a", "--stats", "-e", `ssh -F ${client.config}`, path("tree/"), "sandbox:copy/"],
      "",
      limit / 1000,
    );
  const first = await sync();
  assert.equal(first.code, 0, first.stderr);
  const sums = (tree: string) => `cd ${tree} && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum`;
  const own = await program("bash", ["-c", sums(path("tree"))], "", programLimit / 1000);
  assert.equal((await ssh(sums("copy"))).stdout, own.stdout);
  await writeFile(path("tree/7/7"), "changed content\n");
  assert.match((await sync()).stdout, /Number of regular files transferred: 1\n/);
  assert.equal((await ssh("cat copy/7/7")).stdout, "changed content\n");
});

test(
  "forwarding reaches this sandbox only: neither the node, nor the control plane, nor another sandbox",
  { timeout: limit },
  async () => {
    const onNode = createServer((socket) => socket.end("the node")).listen(path("node"));
    const portOnNode = createServer((socket) => socket.end("the node")).listen(0, "0.0.0.0");
    await once(portOnNode, "listening");
    const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
    const outer = addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
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
      ...(outer !== undefined && { "port of the node by its address": `${outer}:${port}` }),
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
      await until(patience, "an answer of this sandbox", async () =>
        (await said(connect(listeners[0]!))).startsWith("HTTP/1.0 200") ? true : undefined,
      );
      assert.match(await said(connect(path("node"))), /the node/);
      for (const address of ["127.0.0.1", outer ?? "127.0.0.1"])
        assert.match(await said(connect(port, address)), /the node/);
      for (const [at, [what]] of Object.entries(targets).entries())
        if (what !== "own") assert.match(await said(connect(listeners[at]!)), /^$|ECONNRESET|EPIPE/, what);
      // What -R opens listens inside, and not on the node.
      const tried = `python3 -c 'import socket; socket.create_connection(("127.0.0.1", ${inside}), 30)'`;
      await until(patience, "the port inside", async () => ((await ssh(tried)).code === 0 ? true : undefined));
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

test("each way of forwarding works into a machine and back", { timeout: limit }, async () => {
  const answering = createServer((socket) => socket.end("from the client's side")).listen(path("back"));
  await once(answering, "listening");
  const code = `import socketserver, threading
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.0 200 OK\\r\\ncontent-length: 6\\r\\n\\r\\ninside")
port = socketserver.ThreadingTCPServer(("127.0.0.1", 8200), Answer)
threading.Thread(target=port.serve_forever).start()
socketserver.ThreadingUnixStreamServer("/tmp/inside", Answer).serve_forever()`;
  await using server = await sandbox.spawn("python3", { args: ["-c", code], stdout: "null", stderr: "null" });
  void server;
  const free = createServer().listen(0, "127.0.0.1");
  await once(free, "listening");
  const { port: socks } = free.address() as AddressInfo;
  free.close();
  const tunnel = client.start([
    "-N",
    ...["-L", `${path("to-port")}:127.0.0.1:8200`, "-L", `${path("to-socket")}:/tmp/inside`],
    ...["-R", `127.0.0.1:8201:${path("back")}`, "-R", `/tmp/back:${path("back")}`],
    ...["-D", `127.0.0.1:${socks}`],
    "sandbox",
  ]);
  try {
    const request = "GET / HTTP/1.0\r\n\r\n";
    for (const name of ["to-port", "to-socket"])
      await until(patience, name, async () => {
        const { stdout } = await program("curl", ["-s", "--unix-socket", path(name), "http://sandbox/"]);
        return stdout === "inside";
      });
    const through = (url: string) =>
      program("curl", ["-s", "--max-time", "60", "--socks5-hostname", `127.0.0.1:${socks}`, url]);
    assert.equal((await through("http://127.0.0.1:8200/")).stdout, "inside");
    const { port } = new URL(env.DENO_DEPLOY_ENDPOINT);
    assert.equal((await through(`http://127.0.0.1:${port}/healthz`)).stdout, "", "the control plane");
    const { stdout } = await client.run("ssh", ["-W", "127.0.0.1:8200", "sandbox"], request);
    assert.match(stdout, /inside$/);
    for (const [family, place] of [
      ["AF_INET", '("127.0.0.1", 8201)'],
      ["AF_UNIX", '"/tmp/back"'],
    ] as const) {
      const ask = `import socket; s = socket.socket(socket.${family}); s.connect(${place}); print(s.recv(100).decode())`;
      assert.equal((await ssh(`python3 -c '${ask}'`)).stdout, "from the client's side\n", family);
    }
  } finally {
    const ended = once(tunnel, "close");
    tunnel.kill();
    await ended;
    answering.close();
  }
});
