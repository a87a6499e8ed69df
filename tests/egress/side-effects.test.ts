/** Ordinary programs, unchanged, do not notice that their network is a proxy: lengths, ranges, stored encodings, proxies, client certificates. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttps, type ServerOptions } from "node:https";
import { connect, type AddressInfo, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Sandbox } from "@deno/sandbox";
import { within } from "@caisson/testing";
import { createTestAuthority, type TestAuthority } from "./world/authority.ts";
import { startEgressPlatform, type EgressPlatform } from "./world/platform.ts";

const [api, files, mutual, proxied] = ["api.side.example", "files.side.example", "mtls.side.example", "p.side.example"];
const token = "123456:AAF-x/y_z0123456789";
const file = randomBytes(200_000);
const archive = gzipSync(randomBytes(50_000));
const sha = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const servers: Server[] = [];
const asked: string[] = [];
let platform: EgressPlatform;
let listed: Sandbox;
let free: Sandbox;

async function listen(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  asked.push(`${request.method} ${request.url}`);
  const path = request.url!.split("?")[0];
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  if (path === "/early") {
    // It goes on reading, as nginx does: a server that closes at once may reset the connection before its answer is read.
    response.writeHead(413, { "content-length": 9 }).end("too large");
    request.resume();
  } else if (path === "/continue") {
    request.socket.write("HTTP/1.1 100 Continue\r\n\r\n");
    response.end("after an unasked 100");
  } else if (path === "/a.tar.gz")
    response.writeHead(200, { "content-encoding": "gzip", "content-length": archive.length }).end(archive);
  else if (path === "/f" && range !== null) {
    const [from, to] = [Number(range[1]), range[2] ? Number(range[2]) : file.length - 1];
    const part = file.subarray(from, to + 1);
    const where = `bytes ${from}-${to}/${file.length}`;
    response.writeHead(206, { "content-range": where, "content-length": part.length, etag: '"1"' }).end(part);
  } else if (path === "/f")
    response.writeHead(200, { "accept-ranges": "bytes", "content-length": file.length, etag: '"1"' }).end(file);
  else response.end(`who: ${String((request.socket as TLSSocket).getPeerCertificate?.()?.subject?.CN ?? "nobody")}`);
}

function forwardProxy(): Server {
  const server = createHttp((request, response) => void response.end(`fetched ${request.url}`));
  server.on("connect", (request: IncomingMessage, socket: Socket) => {
    asked.push(`CONNECT ${request.url}`);
    const { port } = servers[0]!.address() as AddressInfo;
    const upstream = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(upstream).pipe(socket);
    });
    for (const one of [socket, upstream]) one.on("error", () => undefined);
  });
  return server;
}

async function run(where: Sandbox, command: string): Promise<string> {
  const child = await where.spawn("bash", { args: ["-c", `{ ${command}\n} 2>&1`], stdout: "piped", stderr: "null" });
  const { stdoutText } = await within(90_000, command, child.output());
  return stdoutText ?? "";
}

async function setNetwork(network: object): Promise<Response> {
  return await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/api/v1/sandboxes/${listed.id}/network`, {
    method: "PUT",
    headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify(network),
    signal: AbortSignal.timeout(30_000),
  });
}

let authority: TestAuthority;
before(async () => {
  authority = await createTestAuthority();
  const identity = await authority.issue([api, files, proxied]);
  const [https, mtls, proxy] = [
    await listen(createHttps(identity, answer)),
    await listen(
      createHttps(
        {
          ...(await authority.issue([mutual])),
          requestCert: true,
          rejectUnauthorized: true,
          ca: authority.certificatePem,
        } satisfies ServerOptions,
        answer,
      ),
    ),
    await listen(forwardProxy()),
  ];
  platform = await startEgressPlatform({
    authority,
    egress: { resolve: { [api]: https, [files]: https, [mutual]: mtls, "proxy.side.example": proxy } },
  });
  const secrets = { TOKEN: { hosts: [api], value: token } };
  [listed, free] = await Promise.all([
    Sandbox.create({ allowNet: [api, files, mutual], secrets }),
    Sandbox.create({ secrets }),
  ]);
});
after(async () => {
  await Promise.all([listed?.kill(), free?.kill()]);
  await platform?.stop(15_000);
  for (const server of servers) server.close();
});

describe("programs", { timeout: 400_000 }, () => {
  test("curl sees lengths, gets ranges, goes on with downloads and stores what is stored", async () => {
    const output = await run(
      listed,
      `cd "$(mktemp -d)"
       curl -sSI https://${files}/f
       curl -sS -r 0-99 -o part -w '%{http_code} %{size_download}\\n' https://${files}/f
       head -c 1000 /dev/zero > f && curl -sS -o f -C 1000 -w '%{http_code}\\n' https://${files}/f && stat -c %s f
       curl -sSO https://${files}/a.tar.gz && sha256sum < a.tar.gz
       curl -sS https://${files}/f | sha256sum`,
    );
    for (const expected of [/content-length: 200000/i, /^206 100$/m, /^206\n200000$/m]) assert.match(output, expected);
    assert.ok(output.includes(sha(archive)) && output.includes(sha(file)), output);
  });

  test("servers that are lenient, a token in the path, and TLS without a server name", async () => {
    const output = await run(
      listed,
      `curl -sS https://${files}/continue; echo
       head -c 3000000 /dev/zero | curl -sS -w ' %{http_code}\\n' -T - -H 'Expect:' https://${files}/early
       head -c 3000000 /dev/zero > /tmp/big; curl -sS -w ' %{http_code}\\n' -T /tmp/big https://${files}/early
       curl -sS "https://${api}/bot$TOKEN/getMe"; echo
       curl -sS -d "client_secret=$TOKEN" https://${api}/token; echo
       printf 'GET / HTTP/1.1\\r\\nHost: ${files}\\r\\nConnection: close\\r\\n\\r\\n' |
         timeout 20 openssl s_client -quiet -verify_return_error -verify_hostname ${files} -noservername -connect ${files}:443`,
    );
    assert.match(output, /after an unasked 100/);
    assert.equal(output.match(/too large 413/g)?.length, 2, output);
    assert.match(output, /secret-not-in-body.*inBody: true/);
    assert.match(output, /who: nobody/);
    assert.ok(asked.includes(`GET /bot${token}/getMe`), asked.join("\n"));
  });

  test("a forward proxy works without a list, and under a list the refusal says what to do", async () => {
    const through = `curl -sS -k -x http://proxy.side.example:3128 https://${proxied}/f | sha256sum
       curl -sS -x http://proxy.side.example:3128 http://deb.example/Release`;
    const output = await run(free, through);
    assert.ok(output.includes(sha(file)), output);
    assert.match(output, /fetched http:\/\/deb.example\/Release/);
    assert.match(await run(listed, `curl -sS -x http://${files}:3128 http://deb.example/`), /passThrough/);
  });

  test("a client certificate reaches a host that is passed through, and a host of a secret is not passed through", async () => {
    assert.equal((await setNetwork({ passThrough: [api] })).status, 400);
    assert.equal((await setNetwork({ passThrough: [mutual], unknown: true })).status < 500, true);
    const set = await setNetwork({ passThrough: [mutual], authorities: { [files]: authority.certificatePem } });
    assert.equal(set.status, 204, await set.text());
    const { cert, key } = await authority.issue(["client.example"]);
    await listed.fs.writeTextFile("/tmp/client.pem", `${cert}\n${key}`);
    await listed.fs.writeTextFile("/tmp/ca.pem", authority.certificatePem);
    const output = await run(
      listed,
      `curl -sS --cert /tmp/client.pem --cacert /tmp/ca.pem https://${mutual}/; echo; curl -sS https://${files}/`,
    );
    assert.match(output, /who: client.example\nwho: nobody/);
  });
});
