/** One name for the connection, another for the request: refused. And other ways to make one request two. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { makeSecret, startHarness, startHttp, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { openHttp2, raw } from "../../testing/talk.ts";

let upstream: Upstream;
let plain: Upstream;
let harness: Harness;
let arrived: string[] = [];

before(async () => {
  const listener: Parameters<typeof startHttp>[0] = (request, response) => {
    request.resume();
    request.on("end", () => {
      arrived.push(`${request.method} ${request.headers.host}${request.url}`);
      response.end("reached");
    });
    request.on("error", () => {});
  };
  upstream = await startHttps(["api.test", "evil.test"], listener);
  plain = await startHttp(listener);
  const to = `127.0.0.1:${upstream.port}`;
  harness = await startHarness({
    policy: { allow: ["api.test"] },
    secrets: [makeSecret(["api.test"])],
    resolve: { "api.test": to, "evil.test": to, "api.test:80": `127.0.0.1:${plain.port}` },
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
  await plain.close();
});

async function sent(bytes: string, scheme: "https" | "http" = "https"): Promise<string> {
  arrived = [];
  harness.events.length = 0;
  return await raw(
    scheme === "https" ? await harness.guest.connectTls("api.test:443") : await harness.guest.connect("api.test:80"),
    bytes.replaceAll("\n", "\r\n").replaceAll("¶", "\n"),
    700,
  );
}

async function refused(rule: string, bytes: string, scheme: "https" | "http" = "https"): Promise<void> {
  const answer = await sent(bytes, scheme);
  assert.match(answer, /^HTTP\/1\.1 4\d\d /, JSON.stringify(answer));
  assert.ok(!answer.includes("reached"), answer);
  assert.deepEqual(arrived, []);
  await harness.refusal(rule);
}

const fronting: Record<string, [rule: string, bytes: string]> = {
  "another Host": ["authority-mismatch", "GET / HTTP/1.1\nHost: evil.test\n\n"],
  "another port in Host": ["authority-mismatch", "GET / HTTP/1.1\nHost: api.test:8443\n\n"],
  "a Host that only begins right": ["authority-mismatch", "GET / HTTP/1.1\nHost: api.test.evil.test\n\n"],
  "user information in Host": ["authority-mismatch", "GET / HTTP/1.1\nHost: api.test@evil.test\n\n"],
  "two Hosts in one": ["authority-mismatch", "GET / HTTP/1.1\nHost: api.test, evil.test\n\n"],
  "an address in Host": ["authority-mismatch", "GET / HTTP/1.1\nHost: 127.0.0.1\n\n"],
  "an empty Host": ["authority-mismatch", "GET / HTTP/1.1\nHost:\n\n"],
  "two Hosts, the wrong one last": ["authority-ambiguous", "GET / HTTP/1.1\nHost: api.test\nHost: evil.test\n\n"],
  "two Hosts, the wrong one first": ["authority-ambiguous", "GET / HTTP/1.1\nHost: evil.test\nHost: api.test\n\n"],
  "the same Host twice": ["authority-ambiguous", "GET / HTTP/1.1\nHost: api.test\nhOST: api.test\n\n"],
  "no Host": ["authority-missing", "GET / HTTP/1.1\nAccept: x\n\n"],
  "an absolute target": ["authority-mismatch", "GET https://evil.test/ HTTP/1.1\nHost: api.test\n\n"],
  "an absolute target with user information": [
    "authority-mismatch",
    "GET https://api.test@evil.test/ HTTP/1.1\nHost: api.test\n\n",
  ],
  "an absolute target of plain HTTP": ["authority-mismatch", "GET http://api.test/ HTTP/1.1\nHost: api.test\n\n"],
  "a fragment in the target": ["malformed-request", "GET /a#b HTTP/1.1\nHost: api.test\n\n"],
  "a fragment in an absolute target": ["malformed-request", "GET https://api.test/a#b HTTP/1.1\nHost: api.test\n\n"],
  "a fragment in place of a path": ["malformed-request", "GET https://api.test#/a HTTP/1.1\nHost: api.test\n\n"],
  "a target without slash": ["malformed-request", "GET evil.test HTTP/1.1\nHost: api.test\n\n"],
  CONNECT: ["connect-in-http", "CONNECT evil.test:443 HTTP/1.1\nHost: api.test\n\n"],
  "CONNECT to itself": ["connect-in-http", "CONNECT api.test:443 HTTP/1.1\nHost: api.test\n\n"],
};
for (const [what, [rule, bytes]] of Object.entries(fronting)) {
  test(`${what} is refused`, async () => await refused(rule, bytes));
}
test("the same over plain HTTP", async () => {
  await refused("authority-mismatch", "GET / HTTP/1.1\nHost: evil.test\n\n", "http");
  await refused("authority-mismatch", "GET http://evil.test/ HTTP/1.1\nHost: api.test\n\n", "http");
  await refused("connect-in-http", "CONNECT evil.test:443 HTTP/1.1\nHost: evil.test\n\n", "http");
  await refused("authority-mismatch", "\n\nGET / HTTP/1.1\nHost: evil.test\n\n", "http");
});

test("agreeing spellings pass", async () => {
  for (const head of [
    "GET / HTTP/1.1\nHost: API.test.",
    "GET / HTTP/1.1\nHost: api.test:443",
    "GET https://api.test/ HTTP/1.1\nHost: api.test",
    "GET https://api.test HTTP/1.1\nHost: api.test",
  ]) {
    assert.match(await sent(`${head}\nConnection: close\n\n`), /reached/, head);
    assert.equal(arrived[0], "GET api.test/");
  }
});

const smuggling: Record<string, string> = {
  "Content-Length and Transfer-Encoding":
    "POST / HTTP/1.1\nHost: api.test\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\nGET /evil HTTP/1.1\nHost: api.test\n\n",
  "Transfer-Encoding and Content-Length":
    "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: chunked\nContent-Length: 4\n\n0\n\n",
  "two Content-Lengths": "POST / HTTP/1.1\nHost: api.test\nContent-Length: 4\nContent-Length: 6\n\nabcdef",
  "two equal Content-Lengths": "POST / HTTP/1.1\nHost: api.test\nContent-Length: 4\nContent-Length: 4\n\nabcd",
  "a list of Content-Lengths": "POST / HTTP/1.1\nHost: api.test\nContent-Length: 4, 4\n\nabcd",
  "a signed Content-Length": "POST / HTTP/1.1\nHost: api.test\nContent-Length: +4\n\nabcd",
  "a hexadecimal Content-Length": "POST / HTTP/1.1\nHost: api.test\nContent-Length: 0x4\n\nabcd",
  "a Content-Length beyond all numbers": "POST / HTTP/1.1\nHost: api.test\nContent-Length: 99999999999999999999\n\n",
  "an unknown transfer coding": "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: xchunked\n\n0\n\n",
  "gzip before chunked": "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: gzip, chunked\n\n0\n\n",
  "chunked before identity": "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: chunked, identity\n\n0\n\n",
  "two Transfer-Encodings":
    "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: chunked\nTransfer-Encoding: identity\n\n0\n\n",
  "a space before the colon": "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding : chunked\n\n0\n\n",
  "a name that begins with a space": "GET / HTTP/1.1\nHost: api.test\n Transfer-Encoding: chunked\n\n",
  "a folded header": "GET / HTTP/1.1\nHost: api.test\nX-A: b\n\tc: d\n\n",
  "a folded Host": "GET / HTTP/1.1\nHost: api.test\n evil.test\n\n",
  "bare line feeds": "GET / HTTP/1.1¶Host: api.test¶¶",
  "a bare line feed between headers": "GET / HTTP/1.1\nHost: api.test¶X: y\n\n",
  "a bare carriage return": "GET / HTTP/1.1\nHost: api.test\nX: a\rTransfer-Encoding: chunked\n\n".replace(
    "a\r",
    "a\u000d",
  ),
  "a zero byte in a header": "GET / HTTP/1.1\nHost: api.test\nX: a\0b\n\n",
  "a header without name": "GET / HTTP/1.1\nHost: api.test\n: x\n\n",
  "a header without colon": "GET / HTTP/1.1\nHost: api.test\nfoo\n\n",
  "a chunk size that is none": "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: chunked\n\nzz\nabc\n0\n\n",
  "a chunk size with a sign": "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: chunked\n\n-1\nabc\n0\n\n",
  "a chunk size with 0x": "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: chunked\n\n0x3\nabc\n0\n\n",
  "a chunk size beyond all numbers":
    "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: chunked\n\nfffffffffffffffff\nabc\n0\n\n",
  "a chunk longer than it says": "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: chunked\n\n2\nabc\n0\n\n",
  "a chunk that ends in a bare line feed": "POST / HTTP/1.1\nHost: api.test\nTransfer-Encoding: chunked\n\n3¶abc¶0¶¶",
  "chunked in HTTP/1.0": "POST / HTTP/1.0\nHost: api.test\nTransfer-Encoding: chunked\n\n0\n\n",
  "HTTP/1.2": "GET / HTTP/1.2\nHost: api.test\n\n",
  "HTTP/2.0 in words": "GET / HTTP/2.0\nHost: api.test\n\n",
  "spaces in the target": "GET /a b HTTP/1.1\nHost: api.test\n\n",
  "a method that is none": "GE(T / HTTP/1.1\nHost: api.test\n\n",
  "too many headers' worth": `GET / HTTP/1.1\nHost: api.test\n${`X: ${"a".repeat(1000)}\n`.repeat(80)}\n`,
  "one endless header": `GET / HTTP/1.1\nHost: api.test\nX: ${"a".repeat(70_000)}\n\n`,
  "an endless target": `GET /${"a".repeat(70_000)} HTTP/1.1\nHost: api.test\n\n`,
};
for (const [what, bytes] of Object.entries(smuggling)) {
  test(`${what} is refused or ends the exchange`, async () => {
    const answer = await sent(bytes);
    assert.ok(!answer.startsWith("HTTP/1.1 2"), JSON.stringify(answer.slice(0, 300)));
    assert.deepEqual(arrived, [], what);
  });
}

test("pipelined requests are answered in order, and each is judged by itself", async () => {
  const answer = await sent(
    "GET /1 HTTP/1.1\nHost: api.test\n\nGET /2 HTTP/1.1\nHost: evil.test\n\nGET /3 HTTP/1.1\nHost: api.test\n\n",
  );
  assert.ok(arrived.includes("GET api.test/1") && !arrived.some((line) => line.endsWith("/2")), arrived.join());
  assert.match(answer, /^HTTP\/1\.1 200 [^]*HTTP\/1\.1 403 /);
});

test("an offer of h2c is not taken up, and does not reach the host", async () => {
  const answer = await sent(
    "GET / HTTP/1.1\nHost: api.test\nConnection: Upgrade, HTTP2-Settings, close\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n",
  );
  assert.ok(!answer.includes("101") && answer.includes("reached"), answer);
});

test("in HTTP/2 every stream is judged by its own authority", async () => {
  arrived = [];
  const session = await openHttp2(harness.guest, "api.test");
  const status = (headers: Record<string, string>): Promise<number> =>
    new Promise((resolve, reject) => {
      const stream = session.request(headers);
      stream.once("response", (got) => resolve(Number(got[":status"])));
      stream.once("error", reject);
      stream.resume();
    });
  assert.equal(await status({ ":path": "/1", ":authority": "api.test" }), 200);
  assert.equal(await status({ ":path": "/2", ":authority": "evil.test" }), 421);
  assert.equal(await status({ ":path": "/3", ":authority": "api.test", host: "evil.test" }), 403);
  assert.ok(
    [0, 400].includes(await status({ ":path": "https://evil.test/", ":authority": "api.test" }).catch(() => 0)),
  );
  assert.equal(await status({ ":method": "CONNECT", ":authority": "evil.test:443" }).catch(() => 403), 403);
  assert.equal(await status({ ":path": "/a#b", ":authority": "api.test" }), 400);
  assert.equal(await status({ ":path": "/4", ":authority": "api.test:443" }), 200);
  assert.deepEqual(arrived, ["GET api.test/1", "GET api.test/4"]);
  session.destroy();
});
