/** Programs trust the sandbox's authority whoever runs them, with whatever environment, in every root. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { fullVariable } from "@caisson/testing";
import { createTestAuthority } from "../egress/world/authority.ts";
import { Listener } from "../egress/world/listener.ts";
import { startEgressPlatform, type EgressPlatform } from "../egress/world/platform.ts";

const host = "trust.example";
const url = `https://${host}/`;
let listener: Listener;
let platform: EgressPlatform;
let sandbox: Sandbox;

/** Each prints `ok` and its name when it was served. */
const programs: Readonly<Record<string, string>> = {
  node: `node -e 'fetch("${url}").then((a) => a.text()).then(() => console.log("ok node"))'`,
  deno: `deno eval 'await (await fetch("${url}")).text(); console.log("ok deno")'`,
  python: `python3 -c 'import urllib.request as u; u.urlopen("${url}").read(); print("ok python")'`,
  "a copy in a Python package": `python3 -c 'import ssl, urllib.request as u; u.urlopen("${url}", context=ssl.create_default_context(cafile="/opt/v/lib/python3/site-packages/certifi/cacert.pem")).read(); print("ok a copy in a Python package")'`,
  curl: `curl -sf ${url} >/dev/null && echo ok curl`,
};

/** A program ($1 to a shell), as somebody else or from an empty environment. */
const ways: Readonly<Record<string, string>> = {
  "as it is": 'sh -c "$1"',
  "sudo -i": 'sudo -i sh -c "$1"',
  "su -": 'sudo su - app -c "$1"',
  "another user": 'sudo -u nobody -H sh -c "$1"',
  "env -i": 'env -i PATH="$PATH" sh -c "$1"',
  "env -i as root": 'sudo env -i PATH="$PATH" sh -c "$1"',
  "a login shell with nothing": 'env -i /bin/bash -lc "$1"',
};

before(async () => {
  const authority = await createTestAuthority();
  listener = await Listener.start({ name: host, identity: await authority.issue([host]) });
  platform = await startEgressPlatform({ authority, egress: { resolve: { [host]: listener.address } } });
  sandbox = await Sandbox.create({ allowNet: [host] });
});

after(async () => {
  await sandbox?.kill();
  await platform?.stop(15_000);
  await listener?.close();
});

/** Each takes seconds in an emulated machine; `--full` tries all. */
const few = ["sudo -i", "env -i"];
const full = process.env[fullVariable] === "1";
const tried = full ? Object.keys(ways) : few;
const inFull = full ? false : "runs with npm test -- --full";

/** As a package has it: real authorities, and not the sandbox's. */
const copy = `sudo sh -c 'd=/opt/v/lib/python3/site-packages/certifi; mkdir -p $d; head -c 20000 /etc/ssl/certs/ca-certificates.crt | sed "/^# Caisson/,\\$d" > $d/cacert.pem; chown -R app /opt/v'`;
const all = Object.values(programs).join(" & ");

async function check(where: Sandbox, way: string, name: string): Promise<void> {
  const output = await where.sh`sh -c ${`{ ${way}; } 2>&1`} sh ${`${all} & wait`}`.text();
  for (const program of Object.keys(programs))
    assert.match(output, new RegExp(`^ok ${program}$`, "m"), `${name}: ${output}`);
}

test("in every way to become another user or lose the environment", { timeout: 240_000 }, async (t) => {
  await sandbox.sh`sh -c ${copy}`;
  for (const name of tried) await t.test(name, () => check(sandbox, ways[name]!, name));
  await t.test("spawn with clearEnv", async () => {
    const args = ["-e", `fetch(${JSON.stringify(url)}).then(({ status }) => console.log(status))`];
    const child = await sandbox.spawn("/usr/local/bin/node", {
      args,
      clearEnv: true,
      stdout: "piped",
      stderr: "piped",
    });
    const { stdoutText, stderrText } = await child.output();
    assert.equal(stdoutText, "200\n", stderrText ?? "");
  });
});

test(
  "a program of Debian sees no more than it was given, and stores that somebody added to are theirs",
  { timeout: 60_000 },
  async () => {
    assert.equal(await sandbox.sh`env -i env`.text(), "");
    assert.equal(await sandbox.sh`env -i A=1 sh -c env`.text(), "A=1\nPWD=/home/app\n");
    const file = "/opt/v/lib/python3/site-packages/certifi/cacert.pem";
    assert.match(await sandbox.sh`python3 -c ${`print(open("${file}").read())`}`.text(), /# Caisson/);
    await sandbox.sh`bash -c ${`echo '# mine' >> ${file}`}`;
    const own = await sandbox.sh`python3 -c ${`print(open("${file}").read())`}`.text();
    assert.match(own, /# mine/);
    assert.doesNotMatch(own, /# Caisson/);
  },
);

test("on a root that a user brings", { timeout: 240_000, skip: inFull }, async () => {
  const { env } = platform;
  const client = new Client({
    apiEndpoint: env.DENO_DEPLOY_ENDPOINT,
    token: env.DENO_DEPLOY_TOKEN,
    org: env.DENO_DEPLOY_ORG,
  });
  const slug = "own-root";
  await client.volumes.create({ region: "ord", slug, capacity: "2GiB", from: "builtin:debian-13" });
  const own = await Sandbox.create({ root: slug, allowNet: [host] });
  try {
    await own.sh`sh -c ${copy}`;
    await check(own, ways["env -i"]!, "env -i");
  } finally {
    await own.kill();
  }
});
