/** Network namespaces inside a sandbox, as containers have them: policed like the rest, with nothing to set up but a bridge. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { within } from "@caisson/testing";
import { createTestAuthority } from "./world/authority.ts";
import { Listener } from "./world/listener.ts";
import { startEgressPlatform, type EgressPlatform } from "./world/platform.ts";

const [allowed, denied] = ["allowed.example", "denied.example"];
let platform: EgressPlatform;
let good: Listener;
let bad: Listener;
let sandbox: Sandbox;

/** What a container engine does: a namespace, a pair of interfaces, routes, and a name server that is somewhere else. */
const setUp = `
set -eu
ip netns add inner
ip link add outer0 type veth peer name inner0
ip link set inner0 netns inner
for address in 10.88.0.1/24 fd88::1/64; do ip addr add $address dev outer0 nodad; done
ip link set outer0 up
ip -n inner link set lo up
for address in 10.88.0.2/24 fd88::2/64; do ip -n inner addr add $address dev inner0 nodad; done
ip -n inner link set inner0 up
ip -n inner route add default via 10.88.0.1
ip -n inner -6 route add default via fd88::1
mkdir -p /etc/netns/inner
echo nameserver 9.9.9.9 > /etc/netns/inner/resolv.conf
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
`;

async function inside(command: string): Promise<string> {
  const child = await sandbox.spawn("sudo", {
    args: ["ip", "netns", "exec", "inner", "bash", "-c", `{ ${command}; } 2>&1`],
    stdout: "piped",
    stderr: "null",
  });
  return (await within(60_000, command, child.output())).stdoutText ?? "";
}

before(async () => {
  const authority = await createTestAuthority();
  [good, bad] = await Promise.all([
    Listener.start({ name: allowed, identity: await authority.issue([allowed]) }),
    Listener.start({ name: denied, identity: await authority.issue([denied]) }),
  ]);
  platform = await startEgressPlatform({
    authority,
    egress: { resolve: { [allowed]: good.address, [denied]: bad.address, "203.0.113.8": bad.address } },
  });
  sandbox = await Sandbox.create({ allowNet: [allowed] });
  await sandbox.fs.writeTextFile("/tmp/set-up.sh", setUp);
  await sandbox.sh`sudo bash /tmp/set-up.sh`;
});

after(async () => {
  await sandbox?.kill();
  await platform?.stop(15_000);
  await Promise.all([good?.close(), bad?.close()]);
});

describe("a network namespace inside a sandbox", { timeout: 120_000 }, () => {
  test("has no interface but its own", async () => {
    assert.deepEqual((await inside("ls /sys/class/net")).trim().split(/\s+/).toSorted(), ["inner0", "lo"]);
  });

  for (const family of ["-4", "-6"]) {
    test(`reaches an allowed host (${family})`, async () => {
      assert.match(await inside(`curl -sS ${family} -m 10 https://${allowed}/`), /reached allowed/);
    });
    test(`is told of a refused one (${family})`, async () => {
      for (const scheme of ["https", "http"])
        assert.match(
          await inside(`curl -sS ${family} -m 30 ${scheme}://${denied}/; echo "exit $?"`),
          /connect to server[^]*exit 7/,
        );
    });
  }

  test("does not reach an address that is not allowed", async () => {
    assert.match(await inside(`curl -sS -m 30 http://203.0.113.8/; echo "exit $?"`), /exit 7/);
  });

  test("has no other way out, and is told so soon", async () => {
    for (const [where, how] of Object.entries({
      "UDP over IPv4": `s = socket.socket(2, 2); s.connect(("203.0.113.8", 9999))`,
      "UDP over IPv6": `s = socket.socket(10, 2); s.connect(("2001:db8::8", 9999))`,
    })) {
      const said = await inside(
        `python3 -c 'import socket; ${how}; s.settimeout(5); s.send(b"x"); print(s.recv(9))' | tail -1`,
      );
      assert.match(said, /refused/i, where);
    }
    assert.match(await inside("ping -c 1 -W 3 203.0.113.8 || true"), /100% packet loss|nreachable/);
  });

  test("nothing reached the refused host, and the audit tells of the attempts", async () => {
    assert.equal(bad.connections, 0);
    const refused = (await platform.audit(sandbox.id)).filter(({ verdict }) => verdict === "refused");
    assert.deepEqual([...new Set(refused.map(({ host }) => host))].toSorted(), ["203.0.113.8", denied]);
  });
});
