/** One host's name on the connection, another's inside: fronting, addresses in place of names, server names, certificates. */
import {
  either,
  reached,
  refusal,
  requested,
  saw,
  told,
  type Attack,
  type AttackTable,
  type Role,
  type Success,
  spokenTo,
} from "../attack.ts";

/** The allowed host got a request that names another one. */
const fronted = (role: Role = "host"): Success => saw(role, /\.evil\.example|\.other\.example/);
const mismatch = { row: 5, succeeded: fronted(), ...refusal("authority-mismatch") } as const;
const ambiguous = { row: 5, succeeded: fronted(), ...refusal("authority-ambiguous") } as const;
const lines = (...all: readonly string[]): string =>
  `talk(tls(HOST), "\\r\\n".join([${all.map((line) => `f"${line}"`).join(", ")}, "Connection: close", "", ""]))`;

/** A name that the sandbox believes in, at an address of the attacker's. */
const atAddress = { row: 6, succeeded: reached("evil"), rule: "host-not-allowed" } as const;

const certificate = (fault: string): Attack => ({
  row: 17,
  name: `upstream certificate: ${fault}`,
  bash: `curl -sS -k -m 8 https://$HOST/${fault}`,
  succeeded: requested("host"),
  ...refusal("upstream-certificate"),
  verdict: "failed",
});

export const identity: AttackTable = {
  title: "Allowed on the outside, another host inside",
  prefix: "i",
  faults: {
    "upstream certificate: expired": "expired",
    "upstream certificate: wrong-name": "wrong-name",
    "upstream certificate: self-signed": "self-signed",
    "upstream certificate: unknown-authority": "unknown-authority",
  },
  attacks: [
    { ...mismatch, name: "Host names another", python: `request(HOST, authority=EVIL)` },
    { ...mismatch, name: "Host names another allowed host", python: `request(HOST, authority=OTHER)` },
    { ...mismatch, name: "Host by curl", bash: `curl -sS -m 8 -H "Host: $EVIL" https://$HOST/` },
    { ...mismatch, name: "Host with user part", python: `request(HOST, authority=HOST + "@" + EVIL)` },
    { ...mismatch, name: "Host with the right name as port", python: `request(HOST, authority=EVIL + ":443")` },
    { ...mismatch, name: "Host below the allowed one", python: `request(HOST, authority=EVIL + "." + HOST)` },
    {
      ...mismatch,
      name: "Host with trailing words",
      python: `request(HOST, authority=HOST + " " + EVIL)`,
      told: /egress_refused|400/,
      rule: /authority-mismatch|malformed-request/,
    },
    { ...mismatch, name: "Host with a list", python: `request(HOST, authority=HOST + ", " + EVIL)` },
    {
      ...mismatch,
      name: "Host of another port",
      python: `request(HOST, authority=HOST + ":8443")`,
      succeeded: saw("host", /:8443/),
    },
    {
      ...ambiguous,
      name: "two Hosts, the right one first",
      python: lines("GET / HTTP/1.1", "Host: {HOST}", "Host: {EVIL}"),
      told: /egress_refused|400/,
      rule: /authority-ambiguous|malformed-request/,
    },
    {
      ...ambiguous,
      name: "two Hosts, the right one last",
      python: lines("GET / HTTP/1.1", "Host: {EVIL}", "Host: {HOST}"),
      told: /egress_refused|400/,
      rule: /authority-ambiguous|malformed-request/,
    },
    {
      ...ambiguous,
      name: "two Hosts, one in odd case",
      python: lines("GET / HTTP/1.1", "hOsT: {HOST}", "HOST: {EVIL}"),
      told: /egress_refused|400/,
      rule: /authority-ambiguous|malformed-request/,
    },
    {
      ...ambiguous,
      name: "Host with a blank before the colon",
      python: lines("GET / HTTP/1.1", "Host : {EVIL}", "Host: {HOST}"),
      told: /egress_refused|400/,
      rule: /malformed-request|authority-ambiguous/,
    },
    {
      ...mismatch,
      name: "absolute target of another host",
      python: lines("GET https://{EVIL}/ HTTP/1.1", "Host: {HOST}"),
    },
    {
      ...mismatch,
      name: "absolute target of the host, Host of another",
      python: lines("GET https://{HOST}/ HTTP/1.1", "Host: {EVIL}"),
    },
    {
      ...mismatch,
      name: "absolute target with user part",
      python: lines("GET https://{HOST}@{EVIL}/ HTTP/1.1", "Host: {HOST}"),
    },
    {
      ...mismatch,
      name: "absolute target of another scheme",
      python: lines("GET http://{EVIL}/ HTTP/1.1", "Host: {HOST}"),
    },
    {
      row: 5,
      name: "no Host at all",
      python: lines("GET /nobody HTTP/1.1"),
      succeeded: saw("host", /nobody/),
      ...refusal("authority-missing"),
    },
    {
      row: 5,
      name: "empty Host",
      python: lines("GET /nobody HTTP/1.1", "Host: "),
      succeeded: saw("host", /nobody/),
      told: /egress_refused|400/,
      rule: /authority-m|malformed/,
    },
    {
      ...mismatch,
      name: "second request on one connection",
      python: String.raw`talk(tls(HOST), f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n", f"GET / HTTP/1.1\r\nHost: {EVIL}\r\nConnection: close\r\n\r\n", pause=0.6)`,
    },
    { ...mismatch, name: "HTTP/2 authority", python: `h2(HOST, fields(EVIL))` },
    { ...mismatch, name: "HTTP/2 authority on the second stream", python: `h2(HOST, fields(HOST), fields(EVIL))` },
    {
      ...ambiguous,
      name: "HTTP/2 authority and another Host",
      python: `h2(HOST, fields(HOST, more=[("host", EVIL)]))`,
      told: /egress_refused|reset|goaway/,
      rule: /authority/,
    },
    {
      row: 5,
      name: "server name of another host",
      control: `talk(tls(HOST), head("GET", "/", HOST))`,
      python: `talk(tls(HOST, sni=EVIL), head("GET", "/", HOST))`,
      succeeded: requested("host"),
      rule: "sni-mismatch",
    },
    {
      row: 5,
      name: "server name of another allowed host",
      control: `talk(tls(HOST), head("GET", "/", HOST))`,
      python: `talk(tls(HOST, sni=OTHER), head("GET", "/", OTHER))`,
      succeeded: requested("host"),
      rule: "sni-mismatch",
    },
    {
      row: 16,
      name: "no server name, and a request for another host",
      python: `talk(tls(HOST, sni=None), head("GET", "/", EVIL))`,
      succeeded: fronted(),
      ...refusal("authority-mismatch"),
    },
    {
      row: 16,
      name: "two server names",
      control: `hello_answer(HOST, client_hello(HOST))`,
      python: `hello_answer(HOST, extend_hello(client_hello(HOST), lambda es: [server_names(HOST, EVIL) if k == 0 else (k, b) for k, b in es]))`,
      succeeded: spokenTo("host"),
      rule: "malformed-hello",
    },
    {
      row: 16,
      name: "server name twice",
      control: `hello_answer(HOST, client_hello(HOST))`,
      python: `hello_answer(HOST, extend_hello(client_hello(HOST), lambda es: es + [server_names(EVIL)]))`,
      succeeded: spokenTo("host"),
      rule: "malformed-hello",
    },
    {
      row: 16,
      name: "an alert before the hello",
      control: `hello_answer(HOST, client_hello(HOST))`,
      python: `hello_answer(HOST, b"\\x15\\x03\\x01\\x00\\x02\\x01\\x00" + client_hello(EVIL))`,
      succeeded: spokenTo("host"),
      rule: "malformed-hello",
    },
    {
      row: 16,
      name: "server name of an address",
      control: `hello_answer(HOST, client_hello(HOST))`,
      python: `hello_answer(HOST, extend_hello(client_hello(HOST), lambda es: [server_names(ADDRESS) if k == 0 else (k, b) for k, b in es]))`,
      succeeded: spokenTo("host"),
      rule: "sni-mismatch",
    },
    {
      row: 16,
      name: "encrypted hello: the host that it hides is not reached",
      python: `hello_answer(HOST, extend_hello(client_hello(HOST), lambda es: es + [(0xFE0D, b"\\x00\\x00\\x01\\x00\\x01\\x2a\\x00\\x20" + os.urandom(32) + b"\\x00\\xb0" + os.urandom(176))]))`,
      succeeded: spokenTo("host"),
    },
    {
      row: 16,
      name: "encrypted hello that shows the name of another host",
      control: `hello_answer(HOST, client_hello(HOST))`,
      python: `hello_answer(HOST, extend_hello(client_hello(EVIL), lambda es: es + [(0xFE0D, b"\\x00\\x00\\x01\\x00\\x01\\x2a\\x00\\x20" + os.urandom(32) + b"\\x00\\xb0" + os.urandom(176))]))`,
      succeeded: spokenTo("host"),
      rule: "sni-mismatch",
    },
    {
      row: 16,
      name: "session of one host resumed at another",
      python: String.raw`
made = context(False)
made.maximum_version = ssl.TLSVersion.TLSv1_2
one = tls(HOST, made=made)
session = one.session
two = tls(OTHER, made=made, session=session)
say("resumed" if two.session_reused else "not resumed")
talk(two, head("GET", "/", HOST))`,
      succeeded: either(told(/^resumed/m), saw("other", /\.ok\.example/)),
      rule: "authority-mismatch",
    },
    {
      row: 16,
      name: "hello in many records",
      control: `hello_answer(HOST, client_hello(HOST))`,
      python: String.raw`
hello = client_hello(EVIL)[5:]
hello_answer(HOST, b"".join(b"\x16\x03\x01" + struct.pack(">H", len(hello[i:i+7])) + hello[i:i+7] for i in range(0, len(hello), 7)))`,
      succeeded: spokenTo("host"),
      rule: "sni-mismatch",
    },
    {
      ...atAddress,
      name: "right name, attacker's address (curl --resolve)",
      bash: `curl -sS -k -m 8 --resolve "$HOST:443:$ADDRESS" https://$HOST/`,
    },
    {
      ...atAddress,
      name: "right name in /etc/hosts, attacker's address",
      bash: `echo "$ADDRESS $ID.made-up.example" | sudo tee -a /etc/hosts >/dev/null; curl -sS -k -m 8 https://$ID.made-up.example/`,
    },
    {
      ...atAddress,
      name: "address, Host of the allowed one",
      control: `talk(tcp(ADDRESS, 80), head("GET", "/", ADDRESS))`,
      python: `talk(tcp(ADDRESS, 80), head("GET", "/", HOST))`,
    },
    {
      ...atAddress,
      name: "address, server name of the allowed one",
      python: `talk(tls(ADDRESS, sni=HOST), head("GET", "/", HOST))`,
    },
    {
      ...atAddress,
      row: 9,
      name: "IPv6 address, server name of the allowed one",
      python: `talk(tls(ADDRESS6, sni=HOST), head("GET", "/", HOST))`,
    },
    {
      ...atAddress,
      row: 9,
      name: "IPv4 address as IPv6",
      python: `talk(tls("::ffff:" + ADDRESS, sni=HOST), head("GET", "/", HOST))`,
    },
    { ...atAddress, row: 6, name: "bare bytes to an address", python: `talk(tcp(ADDRESS, 9000), "\\x00hello")` },
    ...["expired", "wrong-name", "self-signed", "unknown-authority"].map(certificate),
  ],
};
