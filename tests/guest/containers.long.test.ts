/**
 * Docker and Podman (with root and without) of Debian in a sandbox, with an image made from the sandbox's own root; their network goes
 * through the proxy. FUSE for the user, by sshfs.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { within } from "@caisson/testing";
import { createTestAuthority } from "../egress/world/authority.ts";
import { Listener } from "../egress/world/listener.ts";
import { startEgressPlatform, type EgressPlatform } from "../egress/world/platform.ts";
import { registriesOfThisHost } from "../egress/world/registries.ts";

const host = "containers.example";
let listener: Listener;
let platform: EgressPlatform;
let sandbox: Sandbox;

/** Unpacking packages and images takes long on an emulated processor, and hosts are busy. Milliseconds. */
const patience = 3_600_000;

/** @param pattern what the output must contain; without it, only the exit code counts */
async function works(command: string, pattern = /^/, limit = patience): Promise<void> {
  const child = await sandbox.spawn("bash", { args: ["-c", `{ ${command}; } 2>&1`], stdout: "piped" });
  const { status, stdoutText } = await within(limit, command, child.output());
  assert.ok(status.success, `${command}\n${(stdoutText ?? "").slice(-4000)}`);
  assert.match(stdoutText ?? "", pattern, command);
}

before(
  async () => {
    const { apt } = await registriesOfThisHost();
    const authority = await createTestAuthority();
    listener = await Listener.start({ name: host, identity: await authority.issue([host]) });
    platform = await startEgressPlatform({ authority, egress: { resolve: { [host]: listener.address } } });
    sandbox = await Sandbox.create({ allowNet: [...apt.hosts, host], memory: "3GiB" });
    await works(
      "sudo apt-get update -qq && sudo apt-get install -qq podman nftables docker.io docker-cli iptables uidmap passt sshfs > /dev/null",
    );
    // The root without what is large and not needed.
    const left = [
      "usr/local",
      "usr/share",
      "usr/lib/python3*",
      "usr/lib/modules",
      "usr/lib/git-core",
      "usr/libexec",
      "usr/sbin",
    ];
    const options = [...left, "usr/bin/{podman,docker*,containerd*}"].map((path) => `--exclude=${path}`).join(" ");
    await works(
      `sudo tar -C / ${options} -cf /var/tmp/own.tar bin lib lib64 sbin usr etc && ls -l /var/tmp/own.tar`,
      /own.tar/,
    );
    await works("mkdir -p build && printf 'FROM own:1\\nRUN echo built > /built\\n' > build/Dockerfile", /^$/);
  },
  { timeout: 2 * patience },
);

after(async () => {
  await sandbox?.kill();
  await platform?.stop(30_000);
  await listener?.close();
});

const engines = {
  "podman without root": {
    engine: "podman",
    storage: "podman info --format '{{.Store.GraphDriverName}} {{.Host.Security.Rootless}}'",
    driver: /^overlay true$/m,
  },
  podman: {
    engine: "sudo podman",
    storage: "sudo podman info --format '{{.Store.GraphDriverName}}'",
    driver: /^overlay$/m,
  },
  docker: {
    engine: "sudo env DOCKER_BUILDKIT=0 docker",
    storage: "sudo docker info --format '{{.Driver}}'",
    driver: /^overlay/m,
  },
};

for (const [name, { engine, storage, driver }] of Object.entries(engines))
  test(name, { timeout: 2 * patience }, async () => {
    if (name === "docker") {
      await works(
        "sudo detach dockerd > /tmp/dockerd.log; for i in $(seq 600); do sudo docker info > /dev/null 2>&1 && exit 0; sleep 1; done; tail -20 /tmp/dockerd.log; exit 1",
      );
    }
    await works(storage, driver);
    await works(`${engine} import /var/tmp/own.tar own:1`);
    await works(`${engine} build -t own:2 build`, /own:2/);
    await works(`${engine} run --rm own:2 cat /built`, /^built$/m);
    const mount =
      name === "docker" ? "-v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro" : "";
    await works(`${engine} run --rm ${mount} own:2 curl -sS --fail https://${host}/`, new RegExp(`reached ${host}`));
  });

test("sshfs as the user", { timeout: patience }, async () => {
  await works(
    "mkdir -p near far && printf '#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n' > server && chmod +x server",
  );
  await works(
    'sshfs -o ssh_command="$PWD/server" any:"$PWD/far" near && echo written > near/file && cat far/file',
    /^written$/m,
  );
  await works("fusermount3 -u near");
});
