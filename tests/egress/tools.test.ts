/** Package managers, git and Deno, unchanged, in a sandbox that may reach their registries alone; and in one that may not. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { fullVariable, within } from "@caisson/testing";
import { createTestAuthority } from "./world/authority.ts";
import { startGitServer, type GitServer } from "./world/git-server.ts";
import { startEgressPlatform, type EgressPlatform } from "./world/platform.ts";
import { registriesOfThisHost, type Registries } from "./world/registries.ts";

/** What takes longest in an emulated machine runs in the full run alone. */
const inFull = { skip: process.env[fullVariable] === "1" ? false : "runs with npm test -- --full" };

const gitHost = "git.tools.example";
let registries: Registries;
let git: GitServer;
let platform: EgressPlatform;
let sandbox: Sandbox;

interface Run {
  readonly output: string;
  readonly success: boolean;
  readonly milliseconds: number;
}

/** Runs a command where the home folder is empty, so that one tool's leftovers cannot help another. */
async function run(where: Sandbox, command: string, limit = 240_000): Promise<Run> {
  const { npm, pip } = registries;
  const start = performance.now();
  const child = await where.spawn("bash", {
    args: ["-c", `cd "$(mktemp -d)" && { ${command}; } 2>&1`],
    env: { ...npm.env, ...pip.env },
    stdout: "piped",
    stderr: "null",
  });
  const { status, stdoutText } = await within(limit, command, child.output());
  return { output: stdoutText ?? "", success: status.success, milliseconds: performance.now() - start };
}

async function works(command: string, pattern: RegExp): Promise<void> {
  const { output, success } = await run(sandbox, command);
  assert.ok(success, output.slice(-4000));
  assert.match(output, pattern);
}

before(async () => {
  registries = await registriesOfThisHost();
  const authority = await createTestAuthority();
  git = await startGitServer(await authority.issue([gitHost]));
  platform = await startEgressPlatform({ authority, egress: { resolve: { [gitHost]: git.address } } });
  const { npm, pip, apt } = registries;
  sandbox = await Sandbox.create({ allowNet: [...npm.hosts, ...pip.hosts, ...apt.hosts, gitHost], memory: "2GiB" });
});

after(async () => {
  await sandbox?.kill();
  await platform?.stop(15_000);
  await git?.close();
});

describe("with their registries allowed", { timeout: 900_000 }, () => {
  describe("by tool", { concurrency: 2 }, () => {
    test("git clone over HTTPS", () =>
      works(
        `git clone --quiet https://${gitHost}${git.path} clone && git -C clone rev-parse HEAD && cat clone/README`,
        new RegExp(`${git.commit}\nCloned through egress`),
      ));

    test("npm install of a package with dependencies", inFull, () =>
      works(
        `npm init --yes >/dev/null && npm install --no-audit --no-fund is-odd && node -p 'require("is-odd")(3)'`,
        /added 2 packages[\s\S]*true/,
      ),
    );

    test("pip install of a package with dependencies", inFull, () =>
      works(
        `pip install --no-cache-dir --quiet requests && python3 -c 'import requests, urllib3; print(requests.__name__, urllib3.__name__)'`,
        /^requests urllib3$/m,
      ),
    );

    test("a Deno program that imports an npm package", () =>
      works(
        `echo 'import isOdd from "npm:is-odd@3"; console.log("odd", isOdd(5));' > main.ts && deno run main.ts`,
        /odd true/,
      ));

    test("apt-get update and install", inFull, () =>
      works(`sudo apt-get update && sudo apt-get install -y tree && tree --version`, /tree v\d/),
    );
  });

  test("everything was recorded as allowed", async () => {
    const events = await platform.audit(sandbox.id);
    assert.ok(events.length > 3);
    // Deno looks for updates of itself elsewhere, and does without.
    const { npm, pip, apt } = registries;
    const hosts = new Set([gitHost, ...npm.hosts, ...pip.hosts, ...apt.hosts]);
    assert.deepEqual(
      events
        .filter(({ verdict, host }) => verdict !== "allowed" && hosts.has(host))
        .map(({ host, rule, detail }) => [host, rule, detail]),
      [],
    );
  });
});

describe("with nothing allowed they fail soon and say so", { timeout: 200_000 }, () => {
  let closed: Sandbox;
  before(async () => {
    closed = await Sandbox.create({ allowNet: [] });
  });
  after(() => closed?.kill());

  const commands: Record<string, string> = {
    "git clone": `git clone https://${gitHost}/project.git`,
    "npm install": "npm install --no-audit --no-fund is-odd",
    "pip install": "pip install requests",
    "deno run": `echo 'import "npm:is-odd@3";' > main.ts && deno run main.ts`,
    "apt-get update": "sudo apt-get -o APT::Update::Error-Mode=any update",
    curl: `curl -sS -m 20 https://${gitHost}/`,
    node: `node -e 'fetch("https://${gitHost}/").catch((error) => { console.log(error.cause); process.exit(1); })'`,
    python: `python3 -c 'import urllib.request as u; u.urlopen("https://${gitHost}/")'`,
  };
  /** Their start alone takes long in an emulated machine; Node and Python are asked below. */
  const slow = new Set(["npm install", "pip install"]);
  describe("by tool", { concurrency: 2 }, () => {
    for (const [name, command] of Object.entries(commands)) {
      test(name, slow.has(name) ? inFull : {}, async (context) => {
        const { output, success, milliseconds } = await run(closed, command, 60_000);
        context.diagnostic(`${Math.round(milliseconds)} ms: ${output.trim().split("\n").slice(-3).join(" | ")}`);
        assert.equal(success, false, output);
        assert.ok(milliseconds < 90_000, `took ${Math.round(milliseconds)} ms: ${output}`);
        assert.match(output, /refused|connect to server|could not connect/i);
      });
    }
  });

  for (const [name, command] of Object.entries({
    "a request with a large body": `head -c 3000000 /dev/zero | curl -sS -m 60 --data-binary @- http://${gitHost}/`,
    "by HTTP/2 without TLS": `curl -sS -m 60 --http2-prior-knowledge http://${gitHost}/`,
    "through an address": `curl -sS -m 60 http://203.0.113.80/`,
    "through an address of IPv6": `curl -sS -m 60 'http://[2001:db8::80]/'`,
  })) {
    test(`connections are refused: ${name}`, async () => {
      const { output } = await run(closed, `${command}; echo "exit $?"`, 90_000);
      assert.match(output, /exit 7$/m);
    });
  }

  test("connect() itself fails, on every port", async () => {
    const { output } = await run(
      closed,
      `python3 -c '
import socket
for port in (22, 80, 443, 5432):
    try: socket.create_connection(("${gitHost}", port)); print("connected")
    except OSError as error: print(error.strerror)'`,
      90_000,
    );
    assert.equal(output, "Connection refused\n".repeat(4));
  });

  test("every attempt was recorded as refused", async () => {
    const events = await platform.audit(closed.id);
    assert.ok(events.length > 0, "no event");
    assert.deepEqual(
      [...new Set(events.map(({ verdict, rule }) => `${verdict} ${rule}`))],
      ["refused host-not-allowed"],
    );
  });
});
