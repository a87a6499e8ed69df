/** Other clients than OpenSSH's, and what OpenSSH's do for other programs. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { until } from "@caisson/testing";
import { localGateway, type LocalGateway } from "./local.ts";
import { OpenSsh } from "./openssh.ts";
import { program } from "./programs.ts";

let local: LocalGateway;
let client: OpenSsh;
let directory: string;
const path = (name: string) => join(directory, name);

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-clients-"));
  local = await localGateway();
  client = new OpenSsh(local.address, local.hostKey);
});
after(async () => {
  await local.close();
  await rm(directory, { recursive: true });
});

test("plink and psftp of PuTTY", async () => {
  const { username, port: at } = local.address;
  const common = ["-batch", "-hostkey", local.gateway.fingerprint, "-P", String(at)];
  const { code, stdout, stderr } = await program(
    "plink",
    [...common, `${username}@127.0.0.1`, "cat; echo err >&2; exit 5"],
    "in",
  );
  assert.deepEqual([code, stdout, stderr], [5, "in", "err\n"]);
  await writeFile(path("sent"), "by psftp");
  const transfer = `put ${path("sent")} ${path("received")}\nget ${path("received")} ${path("back")}\n`;
  await writeFile(path("batch"), transfer);
  const copied = await program("psftp", [...common, "-b", path("batch"), `${username}@127.0.0.1`]);
  assert.equal(copied.code, 0, copied.stderr);
  assert.equal(await readFile(path("back"), "utf8"), "by psftp");
  const refused = await program("plink", [...common, `${"w".repeat(32)}@127.0.0.1`, "true"]);
  assert.match(refused.stderr, /no running sandbox has this user name/);
  assert.notEqual(refused.code, 0);
});

test("dbclient of dropbear, which sends the first message of a key exchange without waiting", async () => {
  const { username, port: at } = local.address;
  const run = await program("dbclient", ["-y", "-p", String(at), `${username}@127.0.0.1`, "cat; exit 6"], "in");
  assert.deepEqual([run.code, run.stdout], [6, "in"]);
});

test("rsync of 5,000 files, and of what has changed", async () => {
  for (let folder = 0; folder < 50; folder++) {
    await mkdir(path(`tree/${folder}`), { recursive: true });
    await Promise.all(
      Array.from({ length: 100 }, (_, at) => writeFile(path(`tree/${folder}/${at}`), `${folder} ${at}\n`)),
    );
  }
  const shell = `ssh -F ${client.config}`;
  const sync = () => program("rsync", ["-a", "--stats", "-e", shell, path("tree/"), `sandbox:${path("copy/")}`]);
  const first = await sync();
  assert.equal(first.code, 0, first.stderr);
  assert.equal((await program("diff", ["-r", path("tree"), path("copy")])).code, 0);
  await writeFile(path("tree/7/7"), "changed content\n");
  assert.match((await sync()).stdout, /Number of regular files transferred: 1\n/);
});

test("a directory by scp -r in both protocols, and by tar", async () => {
  await mkdir(path("small/deep"), { recursive: true });
  await writeFile(path("small/deep/file"), "content");
  for (const [at, protocol] of [[], ["-O"]].entries()) {
    const { code, stderr } = await client.run("scp", [...protocol, "-r", path("small"), `sandbox:${path(`scp${at}`)}`]);
    assert.equal(code, 0, stderr);
    assert.equal(await readFile(path(`scp${at}/deep/file`), "utf8"), "content");
  }
  await mkdir(path("tar"));
  const piped = `tar -C ${path("small")} -c . | ssh -F ${client.config} sandbox 'tar -C ${path("tar")} -x'`;
  assert.equal((await program("bash", ["-c", piped])).code, 0);
  assert.equal(await readFile(path("tar/deep/file"), "utf8"), "content");
});

test("20 sessions at once, each on its own connection", { timeout: 120_000 }, async () => {
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, at) => client.run("ssh", ["sandbox", `sleep 0.5; echo ${at}`])),
  );
  assert.deepEqual(
    all.map(({ code, stdout, stderr }) => [code, stdout, stderr]),
    all.map((_, at) => [0, `${at}\n`, ""]),
  );
});

test("tmux and an editor in it follow the size of the terminal", { timeout: 120_000 }, async () => {
  // The terminal of the client is a tmux of its own, which can be resized and read.
  const [outer, inner] = [path("outer"), path("inner")];
  const tmux = (...args: string[]) => program("tmux", ["-S", outer, ...args]);
  const screen = async (what: RegExp) =>
    until(30_000, String(what), async () => {
      const { stdout } = await tmux("capture-pane", "-p");
      return what.test(stdout) ? stdout : undefined;
    });
  await tmux(
    "-f",
    "/dev/null",
    "new-session",
    "-d",
    "-x",
    "90",
    "-y",
    "30",
    `ssh -F ${client.config} sandbox -t 'tmux -S ${inner} -f /dev/null new-session "while sleep 0.2; do stty size; done"'`,
  );
  try {
    await screen(/\b29 90\b/);
    await tmux("resize-window", "-x", "111", "-y", "41");
    await screen(/\b40 111\b/);
    await tmux("send-keys", "C-c");
  } finally {
    await program("tmux", ["-S", inner, "kill-server"]);
    await tmux("kill-server");
  }
});

test(
  "the way of an editor's remote part: a server is copied and started by exec, and reached through a forwarded port",
  { timeout: 60_000 },
  async () => {
    // As VS Code does: one connection with -D, a script on the input of bash, which prints where the server listens.
    const server = createServer((_, response) => response.end("remote server")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port: inside } = server.address() as AddressInfo;
    const control = path("mux");
    const master = client.start(["-M", "-N", "-S", control, "-o", "ControlPersist=no", "sandbox"]);
    const ended = once(master, "close");
    try {
      await until(20_000, "the control socket", async () =>
        (await client.run("ssh", ["-S", control, "-O", "check", "sandbox"])).code === 0 ? true : undefined,
      );
      const script = `mkdir -p ${path("server")} && cat > ${path("server/install")} <<'END'\nbody\nEND\necho listening on ${inside}\n`;
      const { stdout } = await client.run("ssh", ["-S", control, "-T", "sandbox", "bash"], script);
      assert.match(stdout, new RegExp(`listening on ${inside}`));
      const chosen = await client.run("ssh", [
        "-S",
        control,
        "-O",
        "forward",
        "-D",
        `127.0.0.1:${inside + 1}`,
        "sandbox",
      ]);
      assert.equal(chosen.code, 0, chosen.stderr);
      const got = await program("curl", [
        "-s",
        "--max-time",
        "20",
        "--socks5-hostname",
        `127.0.0.1:${inside + 1}`,
        `http://localhost:${inside}/`,
      ]);
      assert.equal(got.stdout, "remote server");
    } finally {
      master.kill();
      await ended;
      server.close();
    }
  },
);
