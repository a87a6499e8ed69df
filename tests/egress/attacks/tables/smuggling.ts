/** Requests that two parsers read differently, so that a second one, addressed elsewhere, hides in the first. */
import { requested, saw, type Attack, type AttackTable } from "../attack.ts";

const hidden = String.raw`GET /smuggled HTTP/1.1\r\nHost: {EVIL}\r\n\r\n`;
const malformed = { row: 13, rule: "malformed-request", told: /egress_refused/ } as const;

/** Head lines (with HOST), then a body; `hidden` in the body must not arrive. */
const raw = (name: string, lines: readonly string[], body = "", more: Partial<Attack> = {}): Attack => ({
  ...malformed,
  name,
  python: `talk(tls(HOST), f"${lines.join("\\r\\n")}\\r\\n\\r\\n${body}")`,
  succeeded: requested("host"),
  ...more,
});
const post = ["POST / HTTP/1.1", "Host: {HOST}"];
const get = ["GET / HTTP/1.1", "Host: {HOST}"];
const chunked = "Transfer-Encoding: chunked";
const inChunks = (name: string, body: string, pattern = /smuggled|XYZ/): Attack =>
  raw(name, [...post, chunked], body, {
    succeeded: saw("host", pattern),
    told: /egress_refused|\[end\]|reset/i,
    rule: /malformed|upstream|allowed|guest-left|proxy-error/,
  });

export const smuggling: AttackTable = {
  title: "Requests inside requests",
  prefix: "m",
  attacks: [
    raw("length and chunks", [...post, "Content-Length: 6", chunked], String.raw`0\r\n\r\n${hidden}`),
    raw("chunks and length", [...post, chunked, "Content-Length: 60"], String.raw`0\r\n\r\n${hidden}`),
    raw("two lengths", [...post, "Content-Length: 0", "Content-Length: 60"], hidden),
    raw("two equal lengths", [...post, "Content-Length: 3", "Content-Length: 3"], "abc"),
    raw("list of lengths", [...post, "Content-Length: 3, 3"], "abc"),
    raw("length with sign", [...post, "Content-Length: +3"], "abc"),
    raw("negative length", [...post, "Content-Length: -1"], hidden),
    raw("length in hexadecimal", [...post, "Content-Length: 0x3"], `abc${hidden}`),
    raw("length beyond all numbers", [...post, "Content-Length: 18446744073709551617"], hidden),
    raw(
      "blank before the colon",
      [...post, "Transfer-Encoding : chunked", "Content-Length: 5"],
      String.raw`0\r\n\r\n${hidden}`,
    ),
    raw("unknown coding", [...post, "Transfer-Encoding: xchunked"], String.raw`0\r\n\r\n${hidden}`),
    raw("two codings in one line", [...post, "Transfer-Encoding: chunked, identity"], String.raw`0\r\n\r\n${hidden}`),
    raw("two codings in two lines", [...post, chunked, "Transfer-Encoding: cow"], String.raw`0\r\n\r\n${hidden}`),
    raw(
      "coding with control character",
      [...post, String.raw`Transfer-Encoding: \x0bchunked`],
      String.raw`0\r\n\r\n${hidden}`,
    ),
    raw("coding quoted", [...post, 'Transfer-Encoding: \\"chunked\\"'], String.raw`0\r\n\r\n${hidden}`),
    raw(
      "folded line",
      [...post, String.raw`Transfer-Encoding:\r\n chunked`, "Content-Length: 5"],
      String.raw`0\r\n\r\n${hidden}`,
    ),
    raw("folded header", [...get, String.raw`X-Long: one\r\n two`]),
    raw("chunks in HTTP/1.0", ["POST / HTTP/1.0", "Host: {HOST}", chunked], String.raw`0\r\n\r\n${hidden}`),
    raw("bare line feeds", [String.raw`GET / HTTP/1.1\nHost: {HOST}\nX: y\n`]),
    raw("bare line feed inside a header", [...get, String.raw`X: y\nHost: {EVIL}`]),
    raw("bare carriage return inside a header", [...get, String.raw`X: y\rHost: {EVIL}`]),
    raw("zero byte in a header", [...get, String.raw`X: y\x00z`]),
    raw("blank in a header's name", [...get, "X y: z"]),
    raw("header without colon", [...get, "Xyz"]),
    raw("header without name", [...get, ": z"]),
    raw("blank before the first header", [String.raw`GET / HTTP/1.1`, " X: y", "Host: {HOST}"]),
    raw("unknown version", ["GET / HTTP/1.7", "Host: {HOST}"]),
    raw("version of the next generation", ["GET / HTTP/3.0", "Host: {HOST}"]),
    raw("blank in the target", ["GET /a b HTTP/1.1", "Host: {HOST}"]),
    raw("no target", ["GET  HTTP/1.1", "Host: {HOST}"]),
    raw("target without slash", ["GET smuggled HTTP/1.1", "Host: {HOST}"]),
    raw("header of 200 kB", [...get, `X: " + "y" * 200000 + f"`]),
    raw("ten thousand headers", [...get, `" + "".join("X-%d: y\\r\\n" % i for i in range(10000)) + f"X: y`]),
    inChunks("chunk size with prefix", String.raw`0x3\r\nXYZ\r\n0\r\n\r\n`),
    inChunks("chunk size with sign", String.raw`+3\r\nXYZ\r\n0\r\n\r\n`),
    inChunks("chunk size beyond all numbers", String.raw`FFFFFFFFFFFFFFFFF\r\nXYZ`),
    inChunks("negative chunk size", String.raw`-1\r\nXYZ\r\n0\r\n\r\n${hidden}`),
    inChunks("chunk without its end", String.raw`3\r\nXYZsmuggled\r\n0\r\n\r\n`, /smuggled/),
    inChunks("chunk ends with a bare line feed", String.raw`3\nXYZ\n0\n\n${hidden}`),
    inChunks("chunk extension with a bare line feed", String.raw`3;a=\nb\r\nXYZ\r\n0\r\n\r\n`),
    {
      ...malformed,
      name: "second request for another host, sent at once",
      python: `talk(tls(HOST), f"GET / HTTP/1.1\\r\\nHost: {HOST}\\r\\n\\r\\n${hidden}")`,
      succeeded: saw("host", /smuggled/),
      rule: "authority-mismatch",
      told: /authority-mismatch/,
    },
    {
      ...malformed,
      name: "body longer than its length",
      python: `talk(tls(HOST), f"POST / HTTP/1.1\\r\\nHost: {HOST}\\r\\nContent-Length: 3\\r\\n\\r\\nabc${hidden}")`,
      succeeded: saw("host", /smuggled/),
      rule: "authority-mismatch",
      told: /authority-mismatch/,
    },
    {
      ...malformed,
      name: "trailer that names another host",
      python: String.raw`talk(tls(HOST), f"POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nHost: {EVIL}\r\nContent-Length: 40\r\n\r\n")`,
      succeeded: saw("host", /\.evil\.example/),
      told: /./,
      rule: /./,
      verdict: "allowed",
    },
  ],
};
