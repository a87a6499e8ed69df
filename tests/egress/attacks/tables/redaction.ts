/** The approved host hands the key back: in every spelling and place, at once or later. */
import { spellings } from "../../world/spellings.ts";
import { stolen, type Attack, type AttackTable } from "../attack.ts";

const back = { row: 2, succeeded: stolen, verdict: "allowed", rule: "allowed" } as const;
/** The echo came, and is not empty. */
const echoed = { ...back, told: /before \S+|see the|you sent/ } as const;

const echo = (name: string, query: string, more: Partial<Attack> = {}): Attack => ({
  ...echoed,
  name,
  python: `request(HOST, "/echo?${query}", headers=bearer())`,
  ...more,
});

const kept = (name: string, ask: string, more: Partial<Attack> = {}): Attack => ({
  ...back,
  row: 3,
  name,
  python: `request(HOST, "/store?name=" + ID, headers=bearer())\n${ask}`,
  ...more,
});

/** A host that no secret is for has the value; what it answers is not changed, so the answer ends. */
const fromOther = (name: string, ask: string, more: Partial<Attack> = {}): Attack =>
  kept(name, ask, { verdict: "refused", rule: "secret-returned", ...more });

export const redaction: AttackTable = {
  title: "An approved host hands the key back",
  prefix: "r",
  attacks: [
    ...Object.keys(spellings).map((spelling) => echo(`body, ${spelling}`, `as=${spelling}`)),
    echo("header", "in=header"),
    echo("header, Base64", "in=header&as=base64-after-two"),
    echo("cookie, percent-encoded", "in=cookie&as=percent"),
    echo("address of a redirect", "in=location&as=percent", { told: /302/ }),
    echo("challenge", "in=authenticate", { told: /401/ }),
    echo("reason phrase", "in=reason&as=percent"),
    echo("early hints", "in=hints&as=percent"),
    echo("trailer", "in=trailer"),
    echo("error page", "status=500"),
    echo("not-found page", "status=404&as=html"),
    ...["gzip", "deflate", "br", "zstd", "gzip,br"].map((coding): Attack => ({
      ...echoed,
      name: `compressed with ${coding}, unasked`,
      bash: `curl -sS -m 8 --compressed -H "accept-encoding:" -H "authorization: Bearer $KEY" "https://$HOST/echo?coding=${coding}"`,
    })),
    {
      ...back,
      name: "length of the answer with the key in it, without a body",
      python: `request(HOST, "/echo", headers=bearer(), method="HEAD")`,
      succeeded: ({ outcome, key }) =>
        outcome.toLowerCase().includes(`content-length: ${Buffer.byteLength(`before ${key} after\n`)}\r`)
          ? "the guest knows how long the key is"
          : undefined,
      told: /200/,
    },
    echo("chunks of one byte", "split=1"),
    echo("chunks of two bytes, Base64", "split=2&as=base64-after-one"),
    echo("chunks of seven bytes with pauses", "split=7&pace=60"),
    echo("one byte at a time with pauses", "", {
      limit: 90_000,
      python: `request(HOST, "/echo?split=1&pace=35", headers=bearer(), idle=4)`,
    }),
    echo("server-sent events", "type=text/event-stream&split=9&as=json"),
    {
      ...back,
      name: "in two ranges",
      python: String.raw`
parts = []
for span in ("0-20", "21-400"):
    answer = request(HOST, "/echo", headers=bearer() + [("Range", "bytes=" + span)])
    parts.append(answer.split(b"\r\n\r\n", 1)[-1].removesuffix(b"[end]"))
say(b"".join(parts))`,
    },
    {
      ...echoed,
      name: "sent as Basic, handed back decoded",
      python: `request(HOST, "/echo", headers=basic("user", KEY))`,
    },
    {
      ...echoed,
      name: "sent twice, handed back twice",
      python: `request(HOST, "/echo", headers=[("X-Api-Key", KEY + KEY)])`,
    },
    {
      ...echoed,
      name: "sent with text around it",
      python: `request(HOST, "/echo?as=base64", headers=[("X-Api-Key", "a" + KEY + "b")])`,
    },
    {
      ...echoed,
      name: "HTTP/2 body by curl",
      bash: `curl -sS -m 8 --http2 -H "authorization: Bearer $KEY" "https://$HOST/echo?split=5"`,
    },
    {
      ...echoed,
      name: "HTTP/2 header by curl",
      bash: `curl -sS -i -m 8 --http2 -H "authorization: Bearer $KEY" "https://$HOST/echo?in=header"`,
    },
    {
      ...echoed,
      name: "HTTP/2 trailer by curl",
      bash: `curl -sS -i -m 8 --http2 -H "te: trailers" -H "authorization: Bearer $KEY" "https://$HOST/echo?in=trailer"`,
    },
    {
      ...echoed,
      name: "by node, compressed",
      limit: 90_000,
      bash: `HOST=$HOST node -e 'fetch("https://" + process.env.HOST + "/echo?coding=br", { headers: { "x-api-key": process.env.KEY } }).then((r) => r.text()).then(console.log)'`,
    },
    ...["text", "binary", "fragments", "ping", "close"].map((where): Attack => ({
      ...back,
      name: `WebSocket ${where}`,
      python: `web_socket(HOST, "/?in=${where}", headers=bearer())`,
      told: /101/,
    })),
    {
      ...back,
      name: "WebSocket with compression offered",
      python: `web_socket(HOST, "/?in=text", headers=bearer() + [("Sec-WebSocket-Extensions", "permessage-deflate")])`,
      told: /you sent/,
    },
    kept("kept, asked for on another connection", `request(HOST, "/stored?name=" + ID)`, { told: /before \S/ }),
    kept(
      "kept, asked for in Base64 by another program",
      `shell("curl -sS -m 8 'https://%s/stored?as=base64&name=%s'" % (HOST, ID))`,
      { told: /before \S/ },
    ),
    kept("kept, asked for without TLS", `request(HOST, "/stored?name=" + ID, scheme="http")`, { told: /before \S/ }),
    fromOther("kept, handed out by another allowed host", `request(OTHER, "/stored?name=" + ID)`),
    fromOther(
      "the same, compressed as the program asks for",
      `shell("curl -sS -m 8 --compressed 'https://%s/stored?coding=gzip&name=%s'" % (OTHER, ID))`,
    ),
    fromOther("the same, without a length", `request(OTHER, "/stored?split=4096&name=" + ID)`),
    fromOther("the same, in Base64", `request(OTHER, "/stored?as=base64&name=" + ID)`),
    kept(
      "kept, handed out by a protocol that is not HTTP",
      String.raw`talk(tcp(HOST, 9000), "\0", "stored %s\n" % ID, pause=0.5)`,
      { told: /reached/ },
    ),
  ],
};
