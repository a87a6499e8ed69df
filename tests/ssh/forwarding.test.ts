/** Forwarded ports and UNIX sockets, both ways, with OpenSSH: their place is the sandbox's side, which here is the agent's. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "@caisson/testing";
import { localGateway, type LocalGateway } from "./local.ts";
import { OpenSsh } from "./openssh.ts";

let local: LocalGateway;
let client: OpenSsh;
let directory: string;
let echo: Server;
let echoUnix: Server;
const path = (name: string) => join(directory, name);

/** Answers what it got when the peer has ended its side. */
function echoServer(): Server {
  return createServer({ allowHalfOpen: true }, (socket) => {
    const parts: Buffer[] = [];
    socket.on("error", () => undefined);
    socket.on("data", (part) => parts.push(part));
    socket.once("end", () => socket.end(Buffer.concat(parts)));
  });
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-forward-"));
  local = await localGateway();
  client = new OpenSsh(local.address, local.hostKey, ["ExitOnForwardFailure yes"]);
  echo = echoServer().listen(0, "127.0.0.1");
  echoUnix = echoServer().listen(path("echo"));
  await once(echo, "listening");
});
after(async () => {
  echo.close();
  echoUnix.close();
  await local.close();
  await rm(directory, { recursive: true });
});

const echoPort = () => (echo.address() as AddressInfo).port;

async function exchange(socket: Socket, data: Buffer): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on("data", (part) => parts.push(part));
  socket.end(data);
  await once(socket, "end");
  return Buffer.concat(parts);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Sends through a forwarded place, as soon as it is there. */
async function through(place: number | string, data: Buffer): Promise<Buffer> {
  const socket = await until(20_000, `a connection to ${place}`, async () => {
    const trying = typeof place === "number" ? connect(place, "127.0.0.1") : connect(place);
    return new Promise<Socket | undefined>((resolve) => {
      trying.once("connect", () => resolve(trying));
      trying.once("error", () => resolve(undefined));
    });
  });
  return exchange(socket, data);
}

async function withTunnel(args: readonly string[], use: () => Promise<void>): Promise<void> {
  const tunnel = client.start(["-N", ...args, "sandbox"]);
  const ended = once(tunnel, "close");
  try {
    await use();
  } finally {
    tunnel.kill();
    await ended;
  }
}

const data = randomBytes(3_000_000);

for (const [name, option, target] of [
  ["port to port", "-L", () => `127.0.0.1:${echoPort()}`],
  ["port to socket", "-L", () => path("echo")],
  ["port back to port", "-R", () => `127.0.0.1:${echoPort()}`],
  ["port back to socket", "-R", () => path("echo")],
] as const)
  test(`${option}: ${name}`, async () => {
    const port = await freePort();
    await withTunnel([option, `127.0.0.1:${port}:${target()}`], async () => {
      assert.deepEqual(await through(port, data), data);
      assert.deepEqual(await through(port, Buffer.from("once more")), Buffer.from("once more"));
    });
  });

for (const option of ["-L", "-R"])
  test(`${option}: socket to socket, which only its owner can use`, async () => {
    const place = path(`made${option}`);
    await withTunnel([option, `${place}:${path("echo")}`], async () => {
      assert.deepEqual(await through(place, data), data);
      assert.equal((await stat(place)).mode & 0o777, 0o600);
    });
    if (option === "-R")
      await until(10_000, "the end of the socket", async () => (existsSync(place) ? undefined : true));
  });

test("-R with any port, cancelled and asked for again on one connection; a place that is taken is refused", async () => {
  const control = path("control");
  await withTunnel(["-M", "-S", control], async () => {
    const command = (...args: string[]) => client.run("ssh", ["-S", control, ...args, "sandbox"]);
    await until(20_000, "the control socket", async () =>
      (await command("-O", "check")).code === 0 ? true : undefined,
    );
    const { stdout } = await command("-O", "forward", "-R", `0:127.0.0.1:${echoPort()}`);
    const port = Number(stdout.trim());
    assert.ok(port > 0, stdout);
    assert.deepEqual(await through(port, data), data);
    assert.equal((await command("-O", "cancel", "-R", `0:127.0.0.1:${echoPort()}`)).code, 0);
    await until(10_000, "the end of the port", async () => {
      const socket = connect(port, "127.0.0.1");
      return new Promise<true | undefined>((resolve) => {
        socket.once("connect", () => (socket.destroy(), resolve(undefined)));
        socket.once("error", () => resolve(true));
      });
    });
    assert.notEqual((await command("-O", "forward", "-R", `${echoPort()}:127.0.0.1:${echoPort()}`)).code, 0);
  });
});

for (const end of ["end", "crash"] as const)
  test(`the ${end} of the sandbox ends the connection, and the client says why`, { timeout: 120_000 }, async () => {
    const other = await localGateway();
    try {
      const ssh = new OpenSsh(other.address, other.hostKey);
      const running = ssh.start(["sandbox", "echo started; sleep 600"]);
      let stderr = "";
      running.stderr.on("data", (part: Buffer) => (stderr += String(part)));
      const closed = once(running, "close");
      await once(running.stdout, "data");
      await other[end]();
      assert.deepEqual(await closed, [255, null]);
      assert.match(stderr, /Caisson: the sandbox has ended/);
    } finally {
      await other.close();
    }
  });

test(
  "programs that are killed a moment before their machine ends: the client says why",
  { timeout: 120_000 },
  async () => {
    const other = await localGateway();
    try {
      const running = new OpenSsh(other.address, other.hostKey).start(["sandbox", "echo $$ $PPID; exec sleep 600"]);
      let stderr = "";
      running.stderr.on("data", (part: Buffer) => (stderr += String(part)));
      const closed = once(running, "close");
      const [ids] = (await once(running.stdout, "data")) as [Buffer];
      const [program, agent] = String(ids).split(" ").map(Number);
      process.kill(program!, "SIGKILL");
      await sleep(100);
      process.kill(agent!, "SIGKILL");
      assert.deepEqual(await closed, [255, null]);
      assert.match(stderr, /Caisson: the sandbox has ended/);
    } finally {
      await other.close();
    }
  },
);

test("a sandbox that ends while a client logs in ends the connection as well", { timeout: 120_000 }, async () => {
  const other = await localGateway();
  // The client was let in and has opened nothing yet.
  other.gateway.onLogin(() => other.end());
  try {
    const { code, stderr } = await new OpenSsh(other.address, other.hostKey).run("ssh", ["sandbox", "sleep 600"]);
    assert.equal(code, 255);
    assert.match(stderr, /Caisson: the sandbox has ended/);
  } finally {
    await other.close();
  }
});

test("much on both outputs of a command arrives, also when the client reads slowly", { timeout: 60_000 }, async () => {
  const command = "head -c 6000000 /dev/zero & head -c 6000000 /dev/zero >&2; wait";
  const running = client.start(["sandbox", command]);
  const sizes = { out: 0, err: 0 };
  running.stdout.on("data", (part: Buffer) => (sizes.out += part.length));
  running.stderr.on("data", (part: Buffer) => (sizes.err += part.length));
  running.stdout.pause();
  running.stderr.pause();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  running.stdout.resume();
  running.stderr.resume();
  const [code] = (await once(running, "close")) as [number];
  assert.deepEqual([code, sizes], [0, { out: 6_000_000, err: 6_000_000 }]);
});
