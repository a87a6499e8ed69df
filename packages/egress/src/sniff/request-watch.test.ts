/** What lenient servers take for a request is noticed in a tunnel, and other protocols are left alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestWatch } from "./request-watch.ts";

/** Whether some piece is suspected; also when the text comes letter by letter, before its head has ended. */
function suspected(text: string): boolean {
  const whole = new RequestWatch().suspects(Buffer.from(text, "latin1"));
  const watch = new RequestWatch();
  const pieces = Array.from(text, (letter) => watch.suspects(Buffer.from(letter, "latin1")));
  assert.equal(pieces.includes(true), whole, JSON.stringify(text.slice(0, 200)));
  return whole;
}

test("requests in odd dress are noticed before their head ends", () => {
  for (const head of [
    "(x) / HTTP/1.1\r\n",
    "\x01 / HTTP/1.1\r\n",
    "G\xc9T / http/1.1 \n",
    "{} / HTTP/1.0\r\n",
    "foo / bar\r\nHost: evil.test\r\n",
    "FOO a\nAccept: x\nhOST : evil.test\n",
    "\r\n\r\nfoo /\r\nHost: evil.test\r\n",
    "foo\nGET / HTTP/1.1\n",
  ])
    assert.ok(suspected(head), JSON.stringify(head));
});

test("what is no request passes", () => {
  for (const text of [
    "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nDATA\r\n\r\nHost: in the mail\r\nGET / HTTP/1.1\r\n",
    "CONNECT\naccept-version:1.2\nhost:broker.test\n\n\0",
    'CONNECT {"verbose":false}\r\nPING\r\n',
    "NICK me\r\nUSER me 0 * :me\r\n",
    '<34>1 2026-01-01 web nginx - - 1.2.3.4 "GET / HTTP/1.1" 200\n',
    "*1\r\n$4\r\nPING\r\n",
    "SSH-2.0-OpenSSH_9.2 Debian\r\n\0\0\x05",
    `set key 0 0 5\r\nvalue\r\n${"x".repeat(20_000)} / HTTP/1.1\r\n`,
  ])
    assert.ok(!suspected(text), JSON.stringify(text.slice(0, 80)));
});
