/**
 * Real programs that look closely at what they are answered: wget, nginx as a proxy, huggingface_hub, boto3 against a store that checks every
 * signature, and a driver of MongoDB that finds its server by SRV. The sandbox has an allow list and a secret for another host.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { lookup } from "node:dns/promises";
import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { within } from "@caisson/testing";
import { createTestAuthority } from "./world/authority.ts";
import { startMongoServer, type MongoServer } from "./world/mongo-server.ts";
import { startNameServer, type NameServer } from "./world/name-server.ts";
import { startObjectStore, type ObjectStore } from "./world/object-store.ts";
import { startEgressPlatform, type EgressPlatform } from "./world/platform.ts";
import { ranged } from "./world/ranged.ts";
import { registriesOfThisHost } from "./world/registries.ts";

const [files, store, cluster, database] = [
  "files.real.example",
  "store.real.example",
  "cluster.db.example",
  "a.db.example",
];
const file = randomBytes(3_000_000);
const commit = "0123456789abcdef0123456789abcdef01234567";
const modified = "Mon, 05 Jan 2026 10:00:00 GMT";
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
/** Each gets a folder of its own, because they exclude each other. */
const libraries = {
  hub0: ["huggingface_hub==0.36.0"],
  hub1: ["huggingface_hub==1.33.0"],
  boto: ["boto3==1.44.8"],
  mongo: ["pymongo==4.20.1", "dnspython"],
} as const;
const patience = 600_000;

let platform: EgressPlatform;
let sandbox: Sandbox;
let objects: ObjectStore;
let mongo: MongoServer;
let names: NameServer;
const asked: string[] = [];

/** A host with files, as the hub of models has them: a HEAD tells all about a file. */
function serveFile(request: IncomingMessage, response: ServerResponse): void {
  asked.push([request.method, request.url, request.headers.range].filter(Boolean).join(" "));
  const { status, headers, bytes } = ranged(request.headers.range, file);
  if (request.headers["if-modified-since"] === modified) {
    response.writeHead(304).end();
    return;
  }
  const validators = { etag: `"${sha256(file)}"`, "last-modified": modified };
  response.writeHead(status, { ...headers, ...validators, "x-repo-commit": commit });
  response.end(request.method === "HEAD" ? "" : bytes);
}
let fileServer: Server;

async function run(command: string, env: Record<string, string> = {}): Promise<string> {
  const child = await sandbox.spawn("bash", {
    args: ["-c", `cd "$(mktemp -d)" && { ${command}\n} 2>&1`],
    env,
    stdout: "piped",
  });
  const { status, stdoutText } = await within(patience, command, child.output());
  assert.ok(status.success, `${command}\n${(stdoutText ?? "").slice(-4000)}`);
  return stdoutText ?? "";
}

const python = (folder: keyof typeof libraries, program: string, env: Record<string, string> = {}): Promise<string> =>
  run(`python3 - <<'E'\nimport sys; sys.path.insert(0, "/opt/real/${folder}")\n${program}\nE`, env);

/** Installed on the host, where a processor is fast. */
async function bringLibraries(): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "csn-real-"));
  const call = promisify(execFile);
  const wheels = ["--python-version", "3.13", "--platform", "manylinux2014_x86_64", "--only-binary", ":all:"];
  try {
    for (const [folder, packages] of Object.entries(libraries)) {
      const target = ["--target", join(work, folder)];
      await call("python3", ["-m", "pip", "install", "--quiet", ...wheels, ...target, ...packages], {
        timeout: patience,
      });
    }
    await call("tar", ["-cf", `${work}.tar`, "-C", work, ...Object.keys(libraries)]);
    const archive = Readable.toWeb(createReadStream(`${work}.tar`)) as ReadableStream<Uint8Array>;
    await sandbox.fs.writeFile("/tmp/real.tar", archive);
  } finally {
    await Promise.all([work, `${work}.tar`].map((path) => rm(path, { recursive: true, force: true })));
  }
  await run("sudo mkdir -p /opt/real && sudo tar -xf /tmp/real.tar -C /opt/real && rm /tmp/real.tar");
}

/** In the form of RFC 1035 3.1. */
const label = (name: string): Buffer =>
  Buffer.concat([
    ...name.split(".").map((part) => Buffer.from(`${String.fromCharCode(part.length)}${part}`)),
    Buffer.from([0]),
  ]);

before(
  async () => {
    const { apt } = await registriesOfThisHost();
    const authority = await createTestAuthority();
    objects = await startObjectStore(await authority.issue([store]));
    mongo = await startMongoServer(await authority.issue([database]));
    fileServer = createServer(await authority.issue([files]), serveFile);
    await new Promise<void>((resolve) => fileServer.listen(0, "127.0.0.1", resolve));
    const { port } = fileServer.address() as AddressInfo;
    const sites = await Promise.all(apt.hosts.map(async (host) => [host, [(await lookup(host, 4)).address]] as const));
    names = await startNameServer(Object.fromEntries(sites));
    names.publish(`_mongodb._tcp.${cluster}`, 33, [
      Buffer.concat([Buffer.from([0, 0, 0, 5, 27017 >> 8, 27017 & 255]), label(database)]),
    ]);
    names.publish(cluster, 16, [Buffer.from("\u0010authSource=admin")]);
    platform = await startEgressPlatform({
      authority,
      egress: {
        resolve: {
          [files]: `127.0.0.1:${port}`,
          [store]: objects.address,
          [database]: mongo.address,
          [cluster]: mongo.address,
        },
      },
      launcher: names.launcher,
    });
    sandbox = await Sandbox.create({
      allowNet: [...apt.hosts, files, store, "api.real.example", `${cluster}:27017`, `${database}:27017`],
      secrets: { TOKEN: { hosts: ["api.real.example"], value: randomBytes(24).toString("hex") } },
      memory: "2GiB",
    });
    await bringLibraries();
  },
  { timeout: 3 * patience },
);

after(async () => {
  await sandbox?.kill();
  await platform?.stop(30_000);
  fileServer?.close();
  for (const each of [objects, mongo, names]) await each?.close();
});

describe("real programs", { timeout: 8 * patience }, () => {
  test("wget: lengths, resumed downloads, and only what is newer", async () => {
    const output = await run(
      `wget -nv --spider -S https://${files}/f
       head -c 1000 /dev/zero > f && wget -nv -c https://${files}/f && stat -c 'size %s' f
       wget -nv https://${files}/g && sha256sum < g
       wget -N https://${files}/g`,
    );
    assert.match(output, /Content-Length: 3000000/i);
    assert.match(output, /^size 3000000$/m);
    assert.ok(output.includes(sha256(file)), output);
    assert.match(output, /not modified|not retrieving/i);
    assert.ok(asked.includes("GET /f bytes=1000-"), asked.join("\n"));
  });

  for (const folder of ["hub0", "hub1"] as const)
    test(`huggingface_hub, ${libraries[folder][0]}`, async () => {
      const output = await python(
        folder,
        `
import hashlib
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
print("size", get_hf_file_metadata(hf_hub_url("a/b", "model.bin")).size)
path = hf_hub_download("a/b", "model.bin", cache_dir="cache")
print(hashlib.sha256(open(path, "rb").read()).hexdigest())`,
        { HF_ENDPOINT: `https://${files}`, HF_HUB_DISABLE_TELEMETRY: "1", HF_HUB_DISABLE_PROGRESS_BARS: "1" },
      );
      assert.match(output, /^size 3000000$/m);
      assert.ok(output.includes(sha256(file)), output);
    });

  test("boto3: every request has a valid signature; large objects in parts, by ranges and with checksums behind them", async () => {
    const output = await python(
      "boto",
      `
import boto3, hashlib, io, os
client = boto3.client("s3", endpoint_url="https://${store}", region_name="us-east-1")
data = os.urandom(12_000_000)
client.put_object(Bucket="b", Key="small file", Body=b"small")
client.upload_fileobj(io.BytesIO(data), "b", "large")
got = io.BytesIO()
client.download_fileobj("b", "large", got)
print("same", got.getvalue() == data, client.head_object(Bucket="b", Key="large")["ContentLength"])
print("part", client.get_object(Bucket="b", Key="large", Range="bytes=100-199")["Body"].read() == data[100:200])
print("small", client.get_object(Bucket="b", Key="small file")["Body"].read())
try: boto3.client("s3", endpoint_url="https://${store}", region_name="us-east-1", aws_secret_access_key="x", aws_access_key_id="y").head_object(Bucket="b", Key="large")
except Exception as error: print("wrong key", error.response["ResponseMetadata"]["HTTPStatusCode"])`,
      { AWS_ACCESS_KEY_ID: objects.accessKey, AWS_SECRET_ACCESS_KEY: objects.secretKey },
    );
    assert.deepEqual(output.trim().split("\n"), ["same True 12000000", "part True", "small b'small'", "wrong key 403"]);
    assert.equal(objects.objects.get("/b/large")?.length, 12_000_000);
    assert.ok(objects.log.some((line) => line.startsWith("PUT /b/large?") && line.includes("partNumber=2")));
    assert.ok(
      objects.log.some((line) => line.endsWith("206 bytes=100-199")),
      objects.log.join("\n"),
    );
  });

  test("a driver of MongoDB finds its server by SRV and TXT, and talks to it over TLS", async () => {
    const output = await python(
      "mongo",
      `
import pymongo
from pymongo.uri_parser import parse_uri
found = parse_uri("mongodb+srv://${cluster}/")
print(found["nodelist"], found["options"].get("authSource"))
client = pymongo.MongoClient("mongodb+srv://${cluster}/", serverSelectionTimeoutMS=300000)
print("ping", client.admin.command("ping")["ok"])`,
    );
    assert.match(output, /^\[\('a\.db\.example', 27017\)\] admin$/m);
    assert.match(output, /^ping 1$/m);
    assert.ok(mongo.commands.includes("ping"));
  });

  test("nginx in front of a host that it names and verifies, without and with a server name in its TLS", async () => {
    await run("sudo apt-get update -qq && sudo apt-get install -qq nginx-light > /dev/null");
    const location = (path: string, more: string): string => `
      location /${path}/ {
        proxy_pass https://${files}/;
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;
        ${more}
      }`;
    const config = `
      daemon on; pid /tmp/nginx.pid; error_log /tmp/nginx.log;
      events {}
      http {
        access_log off;
        ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path /tmp/nginx-${kind};`).join(" ")}
        server {
          listen 8080;
          ${location("unnamed", "")}
          ${location("named", "proxy_ssl_server_name on; proxy_http_version 1.1; proxy_set_header Connection '';")}
        }
      }`;
    await sandbox.fs.writeTextFile("/tmp/nginx.conf", config);
    const output = await run(
      `/usr/sbin/nginx -e /tmp/nginx.log -c /tmp/nginx.conf
       for way in unnamed named; do
         curl -sS http://localhost:8080/$way/f | sha256sum
         curl -sS -r 5-9 -o part -w '%{http_code} %{size_download}\\n' http://localhost:8080/$way/f
       done; cat /tmp/nginx.log; kill "$(cat /tmp/nginx.pid)"`,
    );
    assert.equal(output.split(sha256(file)).length - 1, 2, output);
    assert.equal(output.match(/^206 5$/gm)?.length, 2, output);
  });

  test("the audit has nothing that was refused or failed", async () => {
    const events = await platform.audit(sandbox.id);
    assert.ok(events.length > 10);
    assert.deepEqual(
      events
        .filter(({ verdict }) => verdict !== "allowed")
        .map(({ host, port, rule, detail }) => [host, port, rule, detail]),
      [],
    );
  });
});
