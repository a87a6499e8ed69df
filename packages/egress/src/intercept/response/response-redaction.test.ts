/** A host that gives the key back, in every way we could think of: the guest sees the placeholder. */
import assert from "node:assert/strict";
import { randomBytes, createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { makeSecret, startHarness, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { ask, askOver, raw, type Ask, type Reply } from "../../testing/talk.ts";

const hosts = ["api.test"];
const secret = makeSecret(hosts);
const { value, placeholder } = secret;
const big = randomBytes(64 * 2 ** 20);
let stored = "";
let upstream: Upstream;
let harness: Harness;

const digests = {
  "content-md5": "x",
  digest: "sha-256=x",
  "content-digest": "sha-256=:x:",
  "repr-digest": "sha-256=:x:",
};

/** The same bits from the other end: what the code of 8 bits for every byte, in the order of the bytes, makes of a byte (RFC 1951 3.2.2). */
function turn(byte: number): number {
  return Number.parseInt(byte.toString(2).padStart(8, "0").split("").toReversed().join(""), 2);
}

/** The beginning of a deflated body in which the bytes that follow stand for themselves turned. */
const turningTable = ((): Buffer => {
  const bits: number[] = [];
  const number = (value: number, size: number): void => {
    for (let bit = 0; bit < size; bit++) bits.push((value >> bit) & 1);
  };
  const code = (text: string): void => void bits.push(...Array.from(text, Number));
  // Last block, codes of its own: 257 for letters, 1 for distances, 14 for the lengths of both.
  for (const [value, size] of [
    [1, 1],
    [2, 2],
    [0, 5],
    [0, 5],
    [10, 4],
  ] as const)
    number(value, size);
  // 8 is written as 0, the lengths 0 and 9 as 10 and 11.
  for (const length of [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3]) number({ 8: 1, 0: 2, 9: 2 }[length] ?? 0, 3);
  for (let letter = 0; letter < 255; letter++) code("0");
  code("11");
  code("11");
  code("10");
  const bytes = Buffer.alloc(bits.length / 8);
  for (const [index, bit] of bits.entries()) bytes[index >> 3]! |= bit << (index & 7);
  return Buffer.concat([Buffer.from([0x78, 0x01]), bytes]);
})();

type Route = (request: IncomingMessage, response: ServerResponse, key: string) => unknown;
const routes: Record<string, Route> = {
  "/plain": (_, response, key) => response.end(`key=${key}.`),
  "/json": (_, response, key) => response.end(JSON.stringify({ headers: { authorization: `Bearer ${key}` } })),
  "/bytes": async (_, response, key) => {
    for (const byte of Buffer.from(`<${key}>`)) {
      response.write(Buffer.from([byte]));
      await sleep(1);
    }
    response.end();
  },
  "/turned": (_, response, key) =>
    response
      .writeHead(200, { "content-encoding": "deflate" })
      .end(Buffer.concat([turningTable, Buffer.from([turn(10)]), Buffer.from(key), Buffer.alloc(70_000, turn(10))])),
  "/say": async (request, response) => {
    response.write(`you said ${new URL(request.url!, "http://x").searchParams.get("words")}`);
    await sleep(400);
    response.end(", then came a pause");
  },
  "/halves": async (request, response, key) => {
    const at = Number(new URL(request.url!, "http://x").searchParams.get("at"));
    response.write(`<${key.slice(0, at)}`);
    await sleep(2);
    response.end(`${key.slice(at)}>`);
  },
  "/gzip": (_, response, key) =>
    response.writeHead(200, { "content-encoding": "gzip", etag: '"x"' }).end(gzipSync(`<${key}>`)),
  "/gzip-sized": (_, response, key) => {
    const body = gzipSync(`<${key}>`);
    response
      .writeHead(200, {
        "content-encoding": "gzip",
        "content-length": body.length,
        "content-md5": "x",
        digest: "x",
        "accept-ranges": "bytes",
      })
      .end(body);
  },
  "/messages": (_, response, key) => {
    const message = Buffer.from(`key=${key}`);
    const body = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
    response.writeHead(200, { "content-type": "application/grpc-web+proto", "content-length": body.length }).end(body);
  },
  "/br": (_, response, key) =>
    response.writeHead(200, { "content-encoding": "br" }).end(brotliCompressSync(`<${key}>`)),
  "/zstd": (_, response, key) =>
    response.writeHead(200, { "content-encoding": "zstd" }).end(zstdCompressSync(`<${key}>`)),
  "/zstd-frames": (_, response, key) =>
    response
      .writeHead(200, { "content-encoding": "zstd" })
      .end(Buffer.concat([zstdCompressSync("<"), zstdCompressSync(key), zstdCompressSync(">")])),
  "/gzip-of-nothing": (_, response) =>
    response.writeHead(200, { "content-encoding": "gzip", "content-length": "0" }).end(),
  "/br-and-more": (_, response, key) =>
    response
      .writeHead(200, { "content-encoding": "br" })
      .end(Buffer.concat([brotliCompressSync("<>"), Buffer.from(key)])),
  "/deflate": (_, response, key) =>
    response.writeHead(200, { "content-encoding": "deflate" }).end(deflateSync(`<${key}>`)),
  "/gzip-br": (_, response, key) =>
    response.writeHead(200, { "content-encoding": "gzip, br" }).end(brotliCompressSync(gzipSync(`<${key}>`))),
  "/GZIP": (_, response, key) => response.writeHead(200, { "content-encoding": "GZip" }).end(gzipSync(`<${key}>`)),
  "/unknown-coding": (_, response, key) => response.writeHead(200, { "content-encoding": "compress" }).end(key),
  "/broken-gzip": (_, response, key) => response.writeHead(200, { "content-encoding": "gzip" }).end(key),
  "/partial-gzip": (_, response, key) =>
    response.writeHead(206, { "content-encoding": "gzip", "content-range": "bytes 0-9/100" }).end(gzipSync(key)),
  "/base64": (_, response, key) => response.end(Buffer.from(`user:${key}`).toString("base64")),
  "/hex": (_, response, key) => response.end(Buffer.from(key).toString("hex")),
  "/header": (_, response, key) =>
    response
      .writeHead(200, {
        "x-key": key,
        "x-b64": Buffer.from(`:${key}`).toString("base64"),
        location: `https://api.test/?k=${encodeURIComponent(key)}`,
      })
      .end(),
  "/cookie": (_, response, key) =>
    response.writeHead(200, { "set-cookie": [`a=${key}; Path=/`, `b=${encodeURIComponent(key)}`] }).end("ok"),
  "/trailer": (_, response, key) => {
    response.writeHead(200, { trailer: "x-key" });
    response.write("body");
    response.addTrailers({ "x-key": key });
    response.end();
  },
  "/error": (_, response, key) =>
    response.writeHead(500, { "content-type": "text/html" }).end(`<h1>invalid key ${key}</h1>`),
  "/redirect": (_, response, key) => response.writeHead(302, { location: `https://elsewhere.test/${key}` }).end(),
  "/reason": (_, response, key) => {
    response.socket!.end(`HTTP/1.1 200 ${key}\r\nx-key-${key}: 1\r\ncontent-length: 2\r\n\r\nok`);
  },
  "/early": (_, response, key) => {
    response.writeEarlyHints({ link: `</${key}>; rel=preload` });
    response.end("ok");
  },
  "/sse": async (_, response, key) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let index = 0; index < 3; index++) {
      response.write(`data: ${index} ${key}\n\n`);
      await sleep(150);
    }
    response.end();
  },
  "/pause": async (_, response) => {
    response.write("ends with s");
    await sleep(600);
    response.end("!");
  },
  "/store": (_, response, key) => {
    stored = key;
    response.end("stored");
  },
  "/recall": (_, response) => response.end(stored),
  "/not-modified": (_, response, key) => response.writeHead(304, { etag: `"${key}"` }).end(),
  "/empty": (_, response) => response.writeHead(204, { "x-a": "b" }).end(),
  "/digests": (_, response, key) => {
    response.writeHead(200, {
      ...digests,
      etag: '"version-7"',
      "content-length": key.length,
    });
    response.end(key);
  },
  "/digest-trailer": (_, response, key) => {
    response.writeHead(200, { trailer: "content-digest, x-a" });
    response.write(key);
    response.addTrailers({ "content-digest": "sha-256=:x:", "x-a": "b" });
    response.end();
  },
  "/unchanged": (_, response) => response.writeHead(304, { etag: '"version-7"', "content-length": "51" }).end(),
  "/big": (_, response) => response.writeHead(200, { "content-length": big.length }).end(big),
  "/url": (request, response) => response.end(decodeURIComponent(request.url!)),
};

before(async () => {
  upstream = await startHttps(["api.test", "other.test"], (request, response) => {
    const key = (request.headers.authorization ?? "").replace("Bearer ", "");
    const route = routes[request.url!.split("?")[0]!] ?? ((_, answer) => answer.writeHead(404).end());
    request.resume();
    void route(request, response, key);
  });
  const to = `127.0.0.1:${upstream.port}`;
  harness = await startHarness({
    policy: { allow: ["api.test", "other.test"] },
    secrets: [secret],
    resolve: { "api.test": to, "other.test": to },
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

const get = (path: string, more: Ask = {}): Promise<Reply> =>
  ask(harness.guest, "api.test", {
    path,
    ...more,
    headers: { authorization: `Bearer ${placeholder}`, ...more.headers },
  });

function assertClean(reply: Reply): void {
  const all = `${JSON.stringify(reply.rawHeaders)} ${JSON.stringify(reply.trailers)} ${reply.text}`;
  for (const form of [
    value,
    Buffer.from(value).toString("hex"),
    Buffer.from(value)
      .toString("base64")
      .replace(/.{2}=*$/, ""),
  ])
    assert.ok(!all.includes(form), all.slice(0, 500));
}

for (const path of [
  "/plain",
  "/bytes",
  "/gzip",
  "/gzip-sized",
  "/br",
  "/zstd",
  "/zstd-frames",
  "/deflate",
  "/gzip-br",
  "/GZIP",
  "/json",
  "/error",
]) {
  test(`the body of ${path} holds the placeholder`, async () => {
    const reply = await get(path);
    assertClean(reply);
    // Small bodies hold their letters as they are, coded or not; there lengths must stay.
    const short = /br|zstd/.test(path) ? placeholder.slice(0, value.length) : placeholder;
    assert.ok(reply.text.includes(short), reply.text);
    assert.equal(reply.headers["content-encoding"], undefined);
  });
}

test("a host that stores what a guest wants with the coding that it wants does not help it to turn letters around", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  const text = await raw(
    socket,
    `GET /turned HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${placeholder}\r\n\r\n`,
  );
  const turned = Buffer.from(Buffer.from(text, "latin1").map((byte) => turn(byte))).toString("latin1");
  assert.ok(turned.includes(placeholder.slice(0, 12)), turned.slice(0, 2000));
  assert.ok(!turned.includes(value.slice(0, 12)));
});

test("split in two at every place", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  for (let at = 0; at <= value.length; at++) {
    const reply = await ask(harness.guest, "api.test", {
      path: `/halves?at=${at}`,
      headers: { authorization: `Bearer ${placeholder}` },
    });
    assert.equal(reply.text, `<${placeholder}>`);
  }
  socket.destroy();
});

test("other spellings hold no value", async () => {
  assertClean(await get("/hex"));
  const basic = await get("/base64");
  assertClean(basic);
  assert.ok(Buffer.from(basic.text, "base64").toString("latin1").includes(placeholder));
});

test("headers, cookies, redirects, trailers, reason phrases and header names are clean", async () => {
  for (const path of ["/header", "/cookie", "/redirect", "/trailer", "/reason", "/early", "/not-modified"])
    assertClean(await get(path));
  assert.equal((await get("/header")).headers["x-key"], placeholder);
  assert.equal((await get("/trailer")).trailers["x-key"], placeholder);
  assert.deepEqual((await get("/cookie")).headers["set-cookie"], [`a=${placeholder}; Path=/`, `b=${placeholder}`]);
  const socket = await harness.guest.connectTls("api.test:443");
  const text = await raw(
    socket,
    `GET /reason HTTP/1.1\r\nhost: api.test\r\nauthorization: Bearer ${placeholder}\r\n\r\n`,
    500,
  );
  assert.ok(!text.includes(value) && text.startsWith("HTTP/1.1 200"), text);
});

test("what an approved host stored is clean when it comes back later, and does not come from other hosts", async () => {
  await get("/store");
  assert.equal(stored, value);
  assert.equal((await ask(harness.guest, "api.test", { path: "/recall" })).text, placeholder);
  assert.equal((await ask(harness.guest, "other.test", { path: "/recall" })).status, 502);
  await harness.refusal("secret-returned");
});

test("a short body of messages has its length once", async () => {
  const reply = await get("/messages");
  assert.equal(reply.rawHeaders.filter((name) => name.toLowerCase() === "content-length").length, 1);
  assert.equal(Number(reply.headers["content-length"]), reply.body.length);
  assert.ok(!reply.text.includes(value) && reply.text.includes(placeholder.slice(0, 10)), reply.text);
});

test("headers about the encoded body go when it is decoded", async () => {
  const { headers, text } = await get("/gzip-sized");
  for (const name of ["content-encoding", "content-md5", "digest", "accept-ranges"])
    assert.equal(headers[name], undefined, name);
  assert.equal(text, `<${placeholder}>`);
});

test("what cannot be read is refused, and what breaks off is not passed as whole", async () => {
  assert.equal((await get("/unknown-coding")).status, 502);
  assert.equal((await get("/partial-gzip")).status, 502);
  await assert.rejects(
    get("/broken-gzip").then(
      (reply) => assertClean(reply) ?? (reply.status === 502 ? Promise.reject(new Error("refused")) : undefined),
    ),
  );
  await harness.refusal("unreadable-response");
});

test("a coded body without any byte is empty, and one that goes on after its end is not passed as whole", async () => {
  const reply = await get("/gzip-of-nothing");
  assert.deepEqual([reply.status, reply.text, reply.headers["content-encoding"]], [200, "", undefined]);
  assert.notEqual((await get("/br-and-more").catch(() => undefined))?.status, 200);
});

test("server-sent events arrive one by one", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  const arrivals: string[] = [];
  socket.on("data", (chunk: Buffer) => /data: /.test(chunk.toString()) && arrivals.push(chunk.toString()));
  socket.write(`GET /sse HTTP/1.1\r\nhost: api.test\r\nauthorization: Bearer ${placeholder}\r\n\r\n`);
  await sleep(220);
  assert.ok(arrivals.length >= 1 && arrivals.length < 3, `after 220 ms: ${arrivals.length}`);
  await sleep(500);
  assert.equal(arrivals.length, 3);
  assert.ok(arrivals.every((text) => text.includes(placeholder) && !text.includes(value)));
  socket.destroy();
});

test("a message that ends like the beginning of a key is not kept waiting", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  socket.write("GET /pause HTTP/1.1\r\nhost: api.test\r\n\r\n");
  await sleep(300);
  assert.ok(/ends with \r?\n?/.test(text) && text.replace(/\r\n[0-9a-f]+\r\n/g, "").includes("ends with s"), text);
  socket.destroy();
});

test("bodies of announced length keep a right one; HEAD and 204 have none", async () => {
  const reply = await get("/plain");
  assert.equal(Number(reply.headers["content-length"] ?? reply.body.length), reply.body.length);
  assert.equal((await get("/empty")).status, 204);
  const head = await get("/plain", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.text, "");
  const socket = await harness.guest.connectTls("api.test:443");
  const two = await raw(
    socket,
    "HEAD /plain HTTP/1.1\r\nhost: api.test\r\n\r\nGET /empty HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\n\r\n",
    1000,
  );
  assert.equal(two.match(/HTTP\/1\.1 2/g)?.length, 2, two);
});

test("digests of the unredacted body do not come through, and are not asked for; an entity tag does", async () => {
  for (const method of ["GET", "HEAD"]) {
    const { headers } = await get("/digests", { method });
    for (const name of Object.keys(digests)) assert.equal(headers[name], undefined, name);
    assert.equal(headers["etag"], '"version-7"');
  }
  assert.deepEqual({ ...(await get("/digest-trailer")).trailers }, { "x-a": "b" });
  let asked: object = {};
  routes["/wants"] = (request, response) => {
    asked = request.headers;
    response.end();
  };
  const wants = { "want-digest": "sha-256", "want-content-digest": "sha-256=1", "want-repr-digest": "sha-256=1" };
  await get("/wants", { headers: { ...wants, "if-match": '"version-7"' } });
  assert.deepEqual(
    Object.keys(asked).filter((name) => /^(want|if)-/.test(name)),
    ["if-match"],
  );
});

test("the length of the unredacted body is not told where there is no body", async () => {
  const head = await get("/digests", { method: "HEAD" });
  assert.deepEqual([head.status, head.text], [200, ""]);
  assert.equal(head.headers["content-length"], undefined);
  assert.equal(head.headers["transfer-encoding"], undefined);
  const unchanged = await get("/unchanged");
  assert.deepEqual([unchanged.status, unchanged.headers["content-length"]], [304, undefined]);
  const whole = await get("/digests");
  assert.deepEqual([whole.text, Number(whole.headers["content-length"])], [placeholder, placeholder.length]);
});

test("64 MiB of random bytes arrive bit for bit", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  const reply = await askOver(socket, "api.test", { path: "/big" });
  socket.destroy();
  assert.equal(reply.body.length, big.length);
  assert.equal(createHash("sha256").update(reply.body).digest("hex"), createHash("sha256").update(big).digest("hex"));
});

test("the upstream is asked for bodies as they are", async () => {
  let asked: string | undefined;
  routes["/ask-encoding"] = (request, response) => {
    asked = request.headers["accept-encoding"] as string;
    response.end("ok");
  };
  await get("/ask-encoding", { headers: { "accept-encoding": "gzip, br" } });
  assert.equal(asked, "identity");
});

test("a value put into the query is clean when it is echoed decoded", async () => {
  const reply = await ask(harness.guest, "api.test", { path: `/url?key=${placeholder}` });
  assert.equal(reply.text, `/url?key=${placeholder}`);
});

test("what comes before a pause is the same whether a guess at the next letter is right or wrong", async () => {
  const before = async (words: string): Promise<string> => {
    const socket = await harness.guest.connectTls("api.test:443");
    socket.write(`GET /say?words=${words} HTTP/1.1\r\nHost: api.test\r\n\r\n`);
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    const said = (): string => text.replace(/^[^]*?\r\n\r\n/, "\r\n").replace(/\r\n[0-9a-f]+\r\n/g, "");
    await sleep(250);
    const first = said();
    await sleep(300);
    socket.destroy();
    assert.ok(said().includes(`you said ${words}, then`), text);
    return first;
  };
  for (const length of [2, 9, 20]) {
    const known = value.slice(0, length);
    const guess = known + value[length];
    const [right, wrong] = await Promise.all([before(guess), before(`${known}!`)]);
    assert.ok(right.includes("you said"), right);
    assert.equal(right.replace(guess, "?"), wrong.replace(`${known}!`, "?"));
  }
});
