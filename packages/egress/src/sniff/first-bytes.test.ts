/** What is taken for TLS, for HTTP, for a way to go on elsewhere, and for something that may be tunnelled. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sniffer, sniff } from "./first-bytes.ts";

const kind = (text: string): string => sniff(Buffer.from(text, "latin1")).kind;

test("protocols are told apart by their first bytes", () => {
  for (const text of [
    "GET / HTTP/1.1\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\n",
    "get / http/1.1\n",
    "M-SEARCH * HTTP/1.1\r\n",
    "GET http://a/ HTTP/1.0\r\n",
    " GET / HTTP/1.1\r\n",
    "GET\t/\tHTTP/1.1\r\n",
  ])
    assert.equal(kind(text), "http1", text);
  for (const text of [
    "GET\x0b/\x0bHTTP/1.1\r\n",
    "\x0b\x0cGET / HTTP/1.1\r\n",
    "GET / HTTP/1.1;x\r\n",
    "GET / HTTP/1.1 \x01\n",
    "GET\xa0/\x85HTTP/1.1\r\n",
  ])
    assert.equal(kind(text), "http1", JSON.stringify(text));
  assert.equal(kind("\x16\x02\x01\0\x05"), "malformed");
  assert.equal(kind("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "http2");
  for (const text of [
    "SSH-2.0-OpenSSH_9.2 Debian\r\n",
    "EHLO client.example\r\n",
    "get /key\r\n",
    "\0\0\0\x08\x04\xd2\x16\x2f",
    "*1\r\n$4\r\nPING\r\n",
    "\x10\x0c\0\x04MQTT",
  ])
    assert.equal(kind(text), "other", text);
  for (const text of ["", "G", "GET", "GET / HTT", "\r\n", "PRI * HT"]) assert.equal(kind(text), "more", text);
  for (const text of ["\x05\x01\0", "\x05\x02\0\x02", "\x04\x01\x01\xbb\x7f\0\0\x01\0"])
    assert.equal(kind(text), "socks", JSON.stringify(text));
  for (const text of ["\x05\0\x0b\x03", "\x05\x01\0extra", "\x04\x03abcdefghi"])
    assert.equal(kind(text), "other", JSON.stringify(text));
  assert.equal(kind("\x80\x2e\x01\x03\x01\0"), "malformed");
  assert.equal(kind(`GET /${"a".repeat(20_000)}`), "http1");
  assert.equal(kind("\r\n".repeat(300)), "malformed");
});

test("nothing of TLS comes before the hello: servers that read on would be spoken to unread", () => {
  // The alert "close_notify", as a warning and as fatal, and a change of ciphers, in any version.
  for (const record of ["\x15??\0\x02\x01\0", "\x15??\0\x02\x02\0", "\x14??\0\x01\x01"])
    for (const version of ["\x03\x01", "\x03\x03", "\x02\0", "\0\0", "\x0f\xff"]) {
      const text = `${record.replace("??", version)}\x16\x03\x01`;
      assert.equal(kind(text), "malformed", JSON.stringify(text));
      for (let length = 1; length < 6; length++) assert.equal(kind(text.slice(0, length)), "more");
    }
  // Messages of databases of 277 and of 5376 bytes.
  for (const text of [
    "\x15\x01\0\0\x02\0\0\0\0\0\0\0\xdd\x07\0\0",
    "\x15\0\0\0\x07",
    "\x14\x03\0\0\x01\0\0",
    "\x17\x03\x03\0\x10",
  ])
    assert.equal(kind(text), "other", JSON.stringify(text));
});

test("protocols without lines are known before a line has ended", () => {
  for (const text of [
    "0033git-upload-pack /p\0host=git.test\0",
    "0\x0c\x02\x01\x01`\x07",
    "hrpc\x09\0\0",
    "AMQP \0\x01",
  ])
    assert.equal(kind(text), "other", JSON.stringify(text));
});

test("a request without a version is a request: servers that know HTTP/0.9 read its Host", () => {
  for (const text of [
    "GET /\r\nHost: evil.test\r\n\r\n",
    "GET /\n",
    "POST  /path\r\n",
    "OPTIONS *\r\n",
    "GET http://evil.test/\r\n",
    "CONNECT evil.test:443\r\n",
    "GET path\r\n",
    "POST rtsp://api.test/ RTSP/1.0\r\n",
    "DESCRIBE rtsp://api.test/ rtsp/1.0\r\n",
    "GET {x}\r\n",
    "A_B2 /\r\n",
    `${"A".repeat(65)} / HTTP/1.1\r\n`,
    `${"A".repeat(9000)} / HTTP/1.1\r\n`,
  ])
    assert.equal(kind(text), "http1", JSON.stringify(text.slice(0, 80)));
  for (const text of [
    "get /key\r\n",
    "set /key 0 0 5\r\n",
    'CONNECT {"verbose":false}\r\n',
    "CONNECT\r\naccept-version:1.2\r\n",
    "POST\r\n",
  ])
    assert.equal(kind(text), "other", JSON.stringify(text));
  assert.equal(kind("A".repeat(9000)), "more");
});

test("SOCKS is known when all of it comes at once, an old hello when it comes in pieces", () => {
  assert.equal(kind("\x05\x01\0\x05\x01\0\x03\x09evil.test\x01\xbb"), "socks");
  assert.equal(kind("\x05\x01\x02\x01\x01a\x01b\x05\x01\0\x01\x7f\0\0\x01\0\x50"), "socks");
  const sniffer = new Sniffer();
  for (const byte of [0x80, 0x2e, 0x01]) assert.equal(sniffer.push(Buffer.from([byte])).kind, "more");
  assert.equal(sniffer.push(Buffer.from([3])).kind, "malformed");
});

test("pieces of one byte say what the whole says", () => {
  for (const text of [
    "GET / HTTP/1.1\r\n",
    "\r\n \tGET /\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "PRI * HTTP/1.1\r\n",
    "SSH-2.0-OpenSSH_9.2 Debian\r\n",
    "\x05\x02\0\x02",
    "\x16\x03\x01\0\x05\x01\0\0\x01\0",
  ]) {
    const sniffer = new Sniffer();
    const verdicts = Array.from(Buffer.from(text, "latin1"), (byte) => sniffer.push(Buffer.from([byte])).kind);
    assert.deepEqual(
      verdicts.slice(0, -1).filter((verdict) => verdict !== "more"),
      [],
      JSON.stringify(text),
    );
    assert.equal(verdicts.at(-1), kind(text));
    assert.deepEqual(sniffer.bytes, Buffer.from(text, "latin1"));
  }
});
