/** A Debian machine as people know it: what ordinary programs take for granted, and what ends when something is killed. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Sandbox } from "@deno/sandbox";
import { sharedPlatform, until, within } from "@caisson/testing";

await sharedPlatform();
/** Two sizes: what follows the memory must differ. */
let sandbox: Sandbox;
let large: Sandbox;

before(async () => {
  [sandbox, large] = await Promise.all([Sandbox.create({ memory: "768MiB" }), Sandbox.create({ memory: "2GiB" })]);
});

after(async () => {
  // A platform of this file's own has ended by now, and the sandboxes with it.
  await Promise.all([sandbox, large].map((one) => one?.kill().catch(() => undefined)));
});

/** Only the end of waits: hosts are busy. Milliseconds. */
const limit = 300_000;
const sh = (command: string, where = sandbox) => where.sh`sh -c ${`{ ${command}; } 2>&1 || echo status $?`}`.text();
/** How many programs run with exactly this command line; a pattern. */
const alive = (mark: string) => sh(`pgrep --exact --full 'sleep ${mark}' | wc -l`).then(Number);

/** By name: a script that starts something, and how often `sleep MARK` runs then. */
const families: readonly (readonly [name: string, script: string, programs: number])[] = [
  ["a process group of its own", "timeout 600 sleep MARK; true", 1],
  ["a session of its own", "setsid --wait sleep MARK; true", 1],
  ["a double fork", "(setsid sleep MARK & ) ; sleep MARK; true", 2],
  ["another user", "sudo sleep MARK; true", 1],
  ["deaf to SIGTERM", "trap '' TERM; sleep MARK & sleep MARK; true", 2],
];

for (const [index, [name, script, programs]] of families.entries())
  test(`SIGKILL ends all that a command started: ${name}`, { timeout: limit }, async () => {
    const mark = String(5000 + index);
    const args = ["-c", script.replaceAll("MARK", mark)];
    const child = await sandbox.spawn("bash", { args, stdout: "piped", stderr: "piped" });
    await until(limit, "its programs", async () => (await alive(mark)) >= programs || undefined);
    await child.kill("SIGKILL");
    // It ends only when nobody holds its pipes any more.
    const { status } = await within(limit / 2, "its output", child.output());
    assert.deepEqual([status.code, status.signal], [137, "SIGKILL"]);
    assert.equal(await alive(mark), 0);
  });

test("SIGTERM reaches what has a process group of its own", { timeout: limit }, async () => {
  const args = ["-c", "timeout 600 sleep 5100; true"];
  const child = await sandbox.spawn("bash", { args, stdout: "piped" });
  await until(limit, "its program", async () => (await alive("5100")) === 1 || undefined);
  await child.kill();
  await within(limit / 2, "its output", child.output());
  assert.equal(await alive("5100"), 0);
});

test("SIGKILL still ends what a command left behind, and nothing of a later command", { timeout: limit }, async () => {
  const args = ["-c", "sleep 5200 & true"];
  const child = await sandbox.spawn("bash", { args, stdout: "piped" });
  assert.equal((await child.status).code, 0);
  assert.equal(await alive("5200"), 1);
  // The client's dispose sends SIGTERM to every command, also when it has ended; background jobs live on.
  await child.kill();
  assert.equal(await alive("5200"), 1);
  await child.kill("SIGKILL");
  await within(limit / 2, "its output", child.output());
  assert.equal(await alive("5200"), 0);
  const later = await Promise.all(
    Array.from({ length: 12 }, () => sandbox.spawn("sleep", { args: ["5300"], stdout: "null" })),
  );
  await child.kill("SIGKILL");
  assert.equal(await alive("5300"), 12);
  await Promise.all(later.map((one) => one.kill("SIGKILL")));
});

test("detach: on purpose, and documented", { timeout: limit }, async () => {
  const script = "detach sleep 5400; detach sh -c 'echo kept; exec sleep 5401' > /tmp/detached.log; sleep 5402";
  const child = await sandbox.spawn("bash", { args: ["-c", script], stdout: "piped", stderr: "piped" });
  await until(limit, "its programs", async () => (await alive("540[0-2]")) === 3 || undefined);
  await child.kill("SIGKILL");
  await within(limit / 2, "its output", child.output());
  assert.deepEqual([await alive("5400"), await alive("5401"), await alive("5402")], [1, 1, 0]);
  assert.equal(await sandbox.fs.readTextFile("/tmp/detached.log"), "kept\n");
  assert.match(await sh("detach"), /usage: detach COMMAND[\s\S]*status 2/);
  assert.match(await sh("sudo -u nobody detach sleep 5403; sleep 1; pgrep -x -u nobody sleep | wc -l"), /^1$/m);
});

const devices = "/dev/fuse /dev/net/tun /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/ptmx";
const facts: readonly (readonly [command: string, output: RegExp])[] = [
  [`stat -L -c %a ${devices} | sort -u`, /^666\n$/],
  ["python --version", /^Python 3\./],
  ["rsync --version | head -1", /^rsync /],
  ["timeout 1 python -m http.server 80", /status 124$/m],
  ["timeout 1 python -m http.server --bind ::1 443", /status 124$/m],
  ["cat /proc/sys/vm/max_map_count", /^1048576$/m],
  ["cat /proc/sys/fs/inotify/max_user_watches /proc/sys/fs/inotify/max_user_instances", /^524288\n1024\n$/],
  ["ping -c 1 -W 5 127.0.0.1", / 0% packet loss/],
  ["unshare --user --map-root-user --net --mount --pid --fork id -u", /^0\n$/],
  // A container without root mounts its own /proc.
  [
    "unshare --user --map-root-user --mount --pid --fork --mount-proc sh -c 'echo $$; ls -d /proc/1'",
    /^1\n\/proc\/1\n$/,
  ],
  ["env -i env", /^$/],
  ["readlink /etc/mtab", /^\.\.\/proc\/self\/mounts$/m],
];

test("what programs take for granted", { timeout: limit }, async (t) => {
  for (const [command, output] of facts)
    await t.test(command, async () => {
      assert.match(await sh(command), output);
    });
});

test("sizes follow the memory, until somebody sets them", { timeout: limit }, async () => {
  const total = (where: Sandbox) => sh("awk '/^MemTotal/ { print $2 }' /proc/meminfo", where).then(Number);
  const read = async (where: Sandbox) =>
    (
      await sh(
        "stat -f -c '%b %S' /dev/shm /run; cat /proc/sys/fs/epoll/max_user_watches /sys/fs/cgroup/sandbox/pids.max",
        where,
      )
    ).split("\n");
  for (const where of [sandbox, large]) {
    const memory = await total(where);
    const kibibytes = (line = "") => line.split(" ").reduce((product, word) => product * Number(word), 1 / 1024);
    // Plugged memory is counted as it comes, in a moment.
    const near = (line: string | undefined, part: number) => Math.abs(kibibytes(line) / memory - part) < 0.02;
    await until(limit, "the sizes", async () => {
      const [shm, run] = await read(where);
      return (near(shm, 1 / 2) && near(run, 1 / 5)) || undefined;
    });
  }
  const [small, big] = await Promise.all([read(sandbox), read(large)]);
  assert.ok(Number(big[2]) > 2 * Number(small[2]));
  assert.ok(Number(small[3]) > 5000 && Number(big[3]) > 2 * Number(small[3]), `processes: ${small[3]}, ${big[3]}`);
  assert.equal(
    await sh("dd if=/dev/zero of=/dev/shm/f bs=1M count=300 status=none && stat -c %s /dev/shm/f; rm /dev/shm/f"),
    "314572800\n",
  );
});

test("an overlay can lie where container engines keep theirs", { timeout: limit }, async () => {
  const places = ["/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/home/app/.local/share/containers"];
  for (const place of places) {
    const script = `cd ${place} && mkdir -p l u w m && echo low > l/f && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none m && echo up > m/g && rm m/f && ls u m && umount m`;
    assert.equal(await sh(`sudo sh -c ${JSON.stringify(script)}`), "m:\ng\n\nu:\nf\ng\n", place);
  }
  // Rootless: a user namespace mounts it itself.
  const script = `cd ~/.local/share/containers && mkdir -p a/l a/u a/w a/m && unshare --user --map-root-user --mount sh -c "mount -t overlay -o userxattr,lowerdir=a/l,upperdir=a/u,workdir=a/w none a/m && touch a/m/x && ls a/u"`;
  assert.equal(await sh(script), "x\n");
});

test("input that is still open when a command ends fails no client", { timeout: limit }, async () => {
  const child = await sandbox.spawn("true", { stdin: "piped" });
  const { promise: rest, resolve: end } = Promise.withResolvers<void>();
  const source = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(new Uint8Array(10));
      await rest;
      controller.enqueue(new Uint8Array(70_000));
      controller.close();
    },
  });
  const piped = source.pipeTo(child.stdin!);
  assert.equal((await child.status).code, 0);
  end();
  await within(limit / 2, "the pipe", piped);
  // Who stops reading and goes on still makes its client stop, as a closed pipe does.
  const closed = await sandbox.spawn("sh", { args: ["-c", "exec <&-; sleep 3"], stdin: "piped" });
  const endless = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      await sleep(1);
      controller.enqueue(new Uint8Array(4096));
    },
  });
  const refused = endless.pipeTo(closed.stdin!).then(
    () => "taken",
    () => "refused",
  );
  assert.equal(await within(limit / 2, "the end", refused), "refused");
});

test("the fs API has the rights of root; what it creates belongs to the user", { timeout: limit }, async () => {
  assert.match(await sh("echo hidden > ~/f && chmod 000 ~/f && cat ~/f"), /Permission denied/);
  assert.equal(await sandbox.fs.readTextFile("/home/app/f"), "hidden\n");
  await sandbox.fs.writeTextFile("/opt/created", "");
  assert.equal(await sh("stat -c %U:%G /opt/created"), "app:app\n");
});
