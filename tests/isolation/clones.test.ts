/** Sandboxes resume from one saved machine; nothing random or personal may be the same in two of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { sharedPlatform } from "@caisson/testing";

await sharedPlatform();

const questions = {
  urandom: "head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n'",
  getrandom: "python3 -c 'import os; print(os.getrandom(32).hex())'",
  uuid: "cat /proc/sys/kernel/random/uuid",
  machineId: "cat /etc/machine-id",
  hostname: "cat /proc/sys/kernel/hostname",
  bootId: "cat /proc/sys/kernel/random/boot_id",
  // A new /proc shows the kernel's own, as in a container.
  kernelBootId: "unshare --user --map-root-user --pid --fork --mount-proc cat /proc/sys/kernel/random/boot_id",
  openssl: "openssl rand -hex 16",
  sshKey: "f=$(mktemp -u) && ssh-keygen -q -t ed25519 -N '' -C '' -f $f && cat $f.pub",
} as const;

test(
  "clones differ in everything that identifies or must not repeat, and agree on the time",
  { timeout: 120_000 },
  async () => {
    const sandboxes = await Promise.all([Sandbox.create(), Sandbox.create(), Sandbox.create()]);
    try {
      for (const [name, command] of Object.entries(questions)) {
        const answers = await Promise.all(
          sandboxes.map(async (sandbox) => {
            const child = await sandbox.spawn("bash", { args: ["-c", command], stdout: "piped", stderr: "null" });
            return ((await child.output()).stdoutText ?? "").trim();
          }),
        );
        assert.ok(
          answers.every((answer) => answer !== ""),
          `${name} is empty`,
        );
        assert.equal(new Set(answers).size, answers.length, `${name} repeats: ${answers.join(" ")}`);
      }
      // A key in the image or in the saved machine would be the key of every sandbox.
      const hostKeys = await Promise.all(
        sandboxes.map((sandbox) => sandbox.sh`sh -c ${"ls /etc/ssh/ssh_host_* 2>/dev/null || true"}`.text()),
      );
      assert.deepEqual(hostKeys, ["", "", ""], "sandboxes have SSH host keys that were not made for them");
      for (const sandbox of sandboxes) {
        const asked = Date.now();
        const seconds = Number((await sandbox.sh`date +%s.%N`.text()).trim());
        const answered = Date.now();
        assert.ok(
          seconds * 1000 > asked - 1_500 && seconds * 1000 < answered + 1_500,
          `the clock is ${seconds * 1000 - asked} ms off`,
        );
      }
    } finally {
      await Promise.all(sandboxes.map((sandbox) => sandbox.kill()));
    }
  },
);

test("nothing is left of what a clone in the pool was warmed with", { timeout: 60_000 }, async () => {
  await using sandbox = await Sandbox.create();
  const authorities = await sandbox.sh`grep -c '^# Caisson' /etc/ssl/certs/ca-certificates.crt`.text();
  assert.equal(authorities.trim(), "1");
  // The image has one link, by name; the other is by the hash of this sandbox's authority.
  const found = await sandbox.sh`find /etc/ssl/certs -lname ${"/usr/local/share/ca-certificates/caisson.crt"}`.text();
  const links = new Set(found.trim().split("\n"));
  assert.ok(links.delete("/etc/ssl/certs/caisson.pem"), found);
  assert.match([...links].join(" "), /^\/etc\/ssl\/certs\/[0-9a-f]{8}\.0$/);
  assert.equal((await sandbox.sh`ls -A /tmp`.text()).trim(), "");
  const names = await sandbox.sh`hostname; cat /etc/hostname`.text();
  const [name, ...others] = new Set(names.trim().split("\n"));
  assert.deepEqual([others, name === "sandbox"], [[], false]);
});
