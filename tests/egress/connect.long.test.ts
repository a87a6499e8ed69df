/** connect() in a sandbox succeeds when the node's has, and fails as the node's does: shown by ordinary programs. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { within } from "@caisson/testing";
import { createTestAuthority } from "./world/authority.ts";
import { Listener } from "./world/listener.ts";
import { startEgressPlatform, type EgressPlatform } from "./world/platform.ts";

const names = {
  open: "open.connect.example",
  also: "also.connect.example",
  closed: "closed.connect.example",
  unreachable: "unreachable.connect.example",
  silent: "silent.connect.example",
  denied: "denied.connect.example",
  unknown: "unknown.connect.invalid",
  later: "later.connect.example",
} as const;

let platform: EgressPlatform;
let sandbox: Sandbox;
let open: Listener;
let denied: Listener;
let echo: Server;
/** Connections that the echo server has got, open and in all. */
const sockets = new Set<Socket>();
let accepted = 0;
let silent: ChildProcess;
let [closedPort, laterPort] = [0, 0];

async function listen(server: Server, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** A port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A listener whose queue is full: the kernel answers nobody any more. */
async function startSilent(): Promise<number> {
  silent = spawn("python3", [
    "-c",
    `import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(0)
full = [socket.socket() for _ in range(4)]
for one in full: one.setblocking(False); one.connect_ex(s.getsockname())
print(s.getsockname()[1], flush=True); sys.stdin.read()`,
  ]);
  const [line] = (await once(silent.stdout!, "data")) as [Buffer];
  return Number(line.toString());
}

async function run(command: string): Promise<string> {
  const child = await sandbox.spawn("bash", {
    // The end of a here document is a line of its own.
    args: ["-c", `{ ${command}\n} 2>&1`],
    stdout: "piped",
    stderr: "null",
  });
  return ((await within(200_000, command, child.output())).stdoutText ?? "").trim();
}

/** Runs Python with a function that says how connect() ended. */
const python = (code: string): Promise<string> =>
  run(`python3 - <<'E'
import errno, socket, select, threading, time
def attempt(host, port, family=socket.AF_INET, keep=None):
    one = socket.socket(family)
    one.settimeout(None)
    try:
        one.connect(socket.getaddrinfo(host, port, family)[0][4])
        if keep is not None: keep.append(one)
        return "connected"
    except OSError as error:
        return errno.errorcode[error.errno]
${code}
E`);

before(async () => {
  const authority = await createTestAuthority();
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    accepted++;
    sockets.add(socket.on("error", () => {}).once("close", () => sockets.delete(socket)));
    socket.pipe(socket);
  });
  const echoPort = await listen(echo);
  [closedPort, laterPort] = [await freePort(), await freePort()];
  [open, denied] = await Promise.all([
    Listener.start({ name: names.open, identity: await authority.issue([names.open]) }),
    Listener.start({ name: names.denied, identity: await authority.issue([names.denied]) }),
  ]);
  platform = await startEgressPlatform({
    authority,
    egress: {
      resolve: {
        [`${names.open}:7`]: `127.0.0.1:${echoPort}`,
        [`${names.also}:7`]: `127.0.0.1:${echoPort}`,
        [names.open]: open.address,
        [names.closed]: `127.0.0.1:${closedPort}`,
        // A broadcast address: the kernel has no way to it.
        [names.unreachable]: "127.255.255.255",
        [names.silent]: `127.0.0.1:${await startSilent()}`,
        [names.denied]: denied.address,
        [names.later]: `127.0.0.1:${laterPort}`,
        "203.0.113.7": `127.0.0.1:${closedPort}`,
      },
    },
  });
  const { denied: _, ...allowed } = names;
  sandbox = await Sandbox.create({ allowNet: [...Object.values(allowed), "203.0.113.7"] });
});

after(async () => {
  await sandbox?.kill();
  await platform?.stop(15_000);
  silent?.kill();
  for (const socket of sockets) socket.destroy();
  echo?.close();
  await Promise.all([open?.close(), denied?.close()]);
});

const allFails: Record<string, string> = {
  closed: "ECONNREFUSED",
  unreachable: "ENETUNREACH",
  denied: "ECONNREFUSED",
  unknown: "EHOSTUNREACH",
};

describe("connect() in a sandbox", { timeout: 900_000 }, () => {
  test("fails with the error of the node's, over IPv4 and IPv6, on every port", async () => {
    for (const [which, errno] of Object.entries(allFails)) {
      const host = names[which as keyof typeof names];
      assert.equal(
        await python(`print([attempt("${host}", port, family) for port in (9, 80, 443) for family in (2, 10)])`),
        `[${Array.from({ length: 6 }, () => `'${errno}'`).join(", ")}]`,
        which,
      );
    }
    assert.equal(await python(`print(attempt("203.0.113.7", 5432))`), "ECONNREFUSED");
  });

  test("succeeds where the node's does, and bytes go over the one connection", async () => {
    const before = accepted;
    assert.equal(
      await python(`
for family in (2, 10):
    kept = []
    print(attempt("${names.open}", 7, family, kept))
    kept[0].sendall(b"\\0there and back" * 10000); kept[0].shutdown(socket.SHUT_WR)
    got = b""
    while (piece := kept[0].recv(65536)): got += piece
    print(got == b"\\0there and back" * 10000)`),
      "connected\nTrue\nconnected\nTrue",
    );
    assert.equal(accepted, before + 2);
  });

  // The kernel lets connections to different hosts have one source port, and picks such a port by itself now and then.
  test("from one source port to several hosts at once", async () => {
    assert.equal(
      await python(`
kept = []
for host in ("${names.open}", "${names.also}"):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("", 40000))
    one.connect((host, 7)); one.sendall(b"\\0x\\n"); kept.append(one)
print([one.recv(9) for one in kept])`),
      String.raw`[b'\x00x\n', b'\x00x\n']`,
    );
  });

  test("HTTPS that the proxy reads goes over the connection that was made first", async () => {
    const before = open.connections;
    assert.match(await run(`curl -4 -sS -m 60 https://${names.open}/`), /reached open/);
    assert.equal(open.connections, before + 1);
  });

  test("without blocking", async () => {
    assert.equal(
      await python(`
for host, port in (("${names.open}", 7), ("${names.closed}", 443), ("${names.denied}", 80)):
    one = socket.socket(); one.setblocking(False)
    first = one.connect_ex((socket.gethostbyname(host), port))
    select.select([], [one], [], 60)
    last = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    print(errno.errorcode[first], errno.errorcode.get(last, "connected"))`),
      "EINPROGRESS connected\nEINPROGRESS ECONNREFUSED\nEINPROGRESS ECONNREFUSED",
    );
  });

  test("of the programs that people wait with", async () => {
    for (const [host, refused] of [
      [names.closed, "refused"],
      [names.denied, "refused"],
      [names.open, "fine"],
    ] as const) {
      const fails = refused === "refused";
      assert.match(
        await run(`curl -sS -m 60 http://${host}/ -o /dev/null; echo "exit $?"`),
        fails ? /exit 7$/ : /exit 0$/,
      );
      assert.match(await run(`nc -z ${host} 443; echo "exit $?"`), fails ? /exit 1$/ : /exit 0$/);
      assert.match(await run(`(: < /dev/tcp/${host}/443); echo "exit $?"`), fails ? /refused[^]*exit 1$/ : /^exit 0$/);
      const node = `require("net").connect(443, "${host}").on("connect", () => { console.log("connected"); process.exit() }).on("error", (e) => console.log((e.errors?.[0] ?? e).code))`;
      assert.match(await run(`node -e '${node}'`), fails ? /^ECONNREFUSED$/ : /^connected$/);
    }
  });

  test("a script that waits for a server goes on when it listens, and not before", async () => {
    const waiting = run(`until nc -z ${names.later} 5432; do sleep 0.2; done; echo up`);
    let up = false;
    void waiting.then(() => (up = true));
    await new Promise((resolve) => setTimeout(resolve, 3000));
    assert.equal(up, false);
    const late = createServer((socket) => socket.on("error", () => {}).end());
    await listen(late, laterPort);
    assert.match(await waiting, /^up$/m);
    late.close();
  });

  test("a host that does not answer: the program's own limit, or ETIMEDOUT", async () => {
    assert.match(await run(`curl -4 -sS --connect-timeout 3 http://${names.silent}/; echo "exit $?"`), /exit 28$/);
    assert.equal(await python(`print(attempt("${names.silent}", 443))`), "ETIMEDOUT");
  });

  test("many at once, some of which fail, and all are closed afterwards", async () => {
    const output = await python(`
kept, ends = [], []
def one(index):
    ends.append(attempt(("${names.open}", "${names.closed}", "${names.denied}")[index % 3], 7, socket.AF_INET, kept))
threads = [threading.Thread(target=one, args=(index,)) for index in range(240)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted((end, ends.count(end)) for end in set(ends)))
for one in kept: one.sendall(b"\\0\\n\\0\\n")
print(sum(one.recv(1) == b"\\0" for one in kept))
for one in kept: one.close()`);
    assert.equal(output, "[('ECONNREFUSED', 160), ('connected', 80)]\n80");
    for (let waits = 0; sockets.size > 0 && waits < 600; waits++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(sockets.size, 0);
  });

  test("a flood of connections that are given up is bounded, and harms no later one", async () => {
    const output = await python(`
begun = 0
until = time.monotonic() + 10
while time.monotonic() < until:
    for host in ("${names.silent}", "${names.open}"):
        one = socket.socket(); one.setblocking(False); one.connect_ex((socket.gethostbyname(host), 7)); one.close(); begun += 1
print("begun" if begun > 300 else begun)`);
    assert.equal(output, "begun");
    assert.equal(await python(`print(attempt("${names.open}", 7))`), "connected");
    for (let waits = 0; sockets.size > 0 && waits < 1200; waits++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(sockets.size, 0);
  });

  test("the refused host got nothing, and the audit has each attempt with its rule", async () => {
    assert.equal(denied.connections, 0);
    const events = await platform.audit(sandbox.id);
    const rules = (host: string): string[] =>
      [
        ...new Set(events.filter((event) => event.host === host).map(({ verdict, rule }) => `${verdict} ${rule}`)),
      ].sort();
    assert.deepEqual(rules(names.denied), ["refused host-not-allowed"]);
    assert.deepEqual(rules(names.closed), ["failed upstream-unreachable"]);
    assert.deepEqual(rules(names.unknown), ["failed name-not-found"]);
  });
});
