/** More than the operator's byte budget to a host that is allowed, in one go or bit by bit. */
import type { Attack, AttackTable, Success } from "../attack.ts";

const budget = 1_000_000;
/** What is sent where nobody counts. */
const amount = 4 * budget;
/** What was under way when the budget was used up still arrives, and TLS and framing cost bytes of their own. */
const slack = 500_000;

const flooded: Success = ({ listeners: { host } }) =>
  host.bytes > budget + slack ? `host got ${host.bytes} bytes of at most ${budget}` : undefined;

const upload = (name: string, program: Partial<Attack>): Attack => ({
  row: 25,
  name,
  succeeded: flooded,
  rule: "byte-budget",
  ...program,
});
const curl = (name: string, options: string, url = "https://$HOST/"): Attack =>
  upload(name, {
    bash: `head -c ${amount} /dev/urandom | curl -sS -m 15 -o /dev/null -w '%{http_code}' ${options} ${url}`,
  });
/** Goes on until nobody takes any more. */
const repeated = (name: string, once: string): Attack =>
  upload(name, {
    python: `
try:
    for turn in range(40): ${once}
except OSError as error: say(error)
say("turn", turn)`,
  });
const part = `os.urandom(${amount / 40})`;

export const uploads: AttackTable = {
  title: "Endless uploads",
  prefix: "u",
  operator: { maxBytesOutPerHost: budget },
  attacks: [
    curl("one body", "--data-binary @-"),
    curl("a body without a length", "--http1.1 -T -"),
    curl("a body in HTTP/2", "--http2 -T -"),
    curl("without TLS", "--data-binary @-", "http://$HOST/"),
    repeated("many requests on connections of their own", `talk(tls(HOST), head("POST", "/", HOST, body=${part}))`),
    upload("many requests on one connection", {
      python: `
sock = tls(HOST)
try:
    for turn in range(40):
        body = ${part}
        sock.sendall(f"POST / HTTP/1.1\\r\\nHost: {HOST}\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n".encode() + body)
        if not hear(sock, idle=0.05): break
except OSError as error: say(error)
say("turn", turn)`,
    }),
    repeated(
      "in queries",
      `talk(tls(HOST), head("GET", "/?" + os.urandom(15000).hex(), HOST, [("X-More", os.urandom(14000).hex())]), idle=0.05)`,
    ),
    upload("WebSocket messages", {
      python: `web_socket(HOST, "/?in=none", frames=[b"\\x82\\xff" + struct.pack(">Q", ${amount / 40}) + bytes(4) + ${part} for _ in range(40)])`,
    }),
    upload("bytes that are no protocol", { python: `talk(tcp(HOST, 9000), b"\\0" + os.urandom(${amount}))` }),
    upload("on many ports", {
      python: `
for port in range(9000, 9040):
    try: talk(tcp(HOST, port), b"\\0" + ${part}, idle=0.05)
    except OSError as error: say(error)`,
    }),
    upload("under many spellings of the name", {
      python: `
for turn in range(40):
    name = "".join(c.upper() if random.random() < 0.5 else c for c in HOST) + random.choice(["", "."])
    try: talk(tls(name, sni=HOST), head("POST", "/", HOST, body=${part}), idle=0.05)
    except OSError as error: say(error)`,
    }),
    upload("many connections at once", {
      python: `
def one():
    try: tcp(HOST, 9000).sendall(b"\\0" + ${part})
    except OSError as error: pass
threads = [threading.Thread(target=one) for _ in range(40)]
for thread in threads: thread.start()
for thread in threads: thread.join()
time.sleep(2)
say("done")`,
    }),
  ],
};
