/** Odd spellings of hosts that are not allowed, and lookalikes of those that are. */
import { either, reached, told, type Attack, type AttackTable } from "../attack.ts";

const notAllowed = { row: 8, succeeded: reached("evil"), rule: "host-not-allowed" } as const;
const spelled = (name: string, python: string, more: Partial<Attack> = {}): Attack => ({
  ...notAllowed,
  name,
  python,
  ...more,
});

const aboveWildcard = "the name above the wildcard";

const attacks: readonly Attack[] = [
  spelled("upper case", `request(EVIL.upper())`),
  spelled("trailing dot", `by_name(EVIL + ".", 80)`),
  spelled("mixed case by curl", "", { bash: `curl -sS -k -m 8 https://\${EVIL^^}/` }),
  spelled("the allowed name as beginning", `request(ID + ".ok.example.evil.example")`),
  spelled("the allowed name as end of a word", `request(ID + ".notok.example")`),
  spelled("lookalike letters", `by_name("xn--ok-" + ID + ".example", 80)`),
  spelled(aboveWildcard, `request("ok.example")`),
  spelled("allowed name as user in the URL", "", { bash: `curl -sS -k -m 8 "https://$HOST@$EVIL/"` }),
  spelled("allowed name as user and password", "", { bash: `curl -sS -k -m 8 "https://$HOST:443@$EVIL/"` }),
  spelled("allowed name as fragment", "", { bash: `curl -sS -k -m 8 "https://$EVIL#@$HOST/"` }),
  spelled("backslash in the URL, by node", "", {
    bash: `node -e 'fetch("https://'$EVIL'\\\\@'$HOST'/").then((r) => r.text()).then(console.log, (e) => console.log(String(e.cause)))'`,
  }),
  spelled("percent-encoded dot in the URL, by node", "", {
    bash: `node -e 'fetch("https://'\${EVIL/./%2e}'/").then((r) => r.text()).then(console.log, (e) => console.log(String(e.cause)))'`,
  }),
  spelled("full-width letters, by node", "", {
    bash: `node -e 'fetch("https://'$EVIL'/".replace("evil", "\\uff45\\uff56\\uff49\\uff4c")).then((r) => r.text()).then(console.log, (e) => console.log(String(e.cause)))'`,
  }),
  spelled("port with leading zeros", "", { bash: `curl -sS -k -m 8 https://$EVIL:00443/` }),
  spelled("address in decimal", "", {
    bash: `curl -sS -k -m 8 "https://$(python3 -c "import ipaddress,sys; print(int(ipaddress.ip_address('$ADDRESS')))")/"`,
  }),
  spelled("address in hexadecimal", "", {
    bash: `curl -sS -k -m 8 "https://0x$(python3 -c "import ipaddress; print('%08x' % int(ipaddress.ip_address('$ADDRESS')))")/"`,
  }),
  spelled("address in octal", "", {
    bash: `curl -sS -k -m 8 "https://$(python3 -c "print('.'.join('0%o' % int(p) for p in '$ADDRESS'.split('.')))")/"`,
  }),
  spelled(
    "decimal address as a name of the resolver's",
    `by_name(str(struct.unpack(">I", socket.inet_aton(ADDRESS))[0]), 80)`,
  ),
  spelled(
    "hexadecimal address as a name of the resolver's",
    `by_name(hex(struct.unpack(">I", socket.inet_aton(ADDRESS))[0]), 80)`,
  ),
  spelled("dotted address as a name of the resolver's", `by_name(ADDRESS, 80)`),
  spelled(
    "octal address as a name of the resolver's",
    `by_name(".".join("0%o" % int(p) for p in ADDRESS.split(".")), 80)`,
  ),
  spelled(
    "IPv6",
    `request("[" + ADDRESS6 + "]") if False else talk(tcp(ADDRESS6, 80), head("GET", "/", "[" + ADDRESS6 + "]"))`,
    { row: 9 },
  ),
  spelled(
    "IPv6 written at length",
    `import ipaddress; talk(tcp(ipaddress.ip_address(ADDRESS6).exploded, 80), head("GET", "/", "[" + ADDRESS6 + "]"))`,
    { row: 9 },
  ),
  spelled("IPv4 inside IPv6", `talk(tcp("::ffff:" + ADDRESS, 80), head("GET", "/", ADDRESS))`, { row: 9 }),
  spelled(
    "IPv6 question for a denied name",
    `_, found = dns(EVIL, "AAAA")\nfor address in found: talk(tcp(address, 80), head("GET", "/", EVIL))`,
    {
      row: 9,
      succeeded: either(reached("evil")),
    },
  ),
  {
    row: 8,
    name: "a name that holds a line break",
    control: `by_name(EVIL, 9000)`,
    python: `by_name("x\\r\\nproxy: 1.evil.example", 80)`,
    succeeded: told(/reached/),
  },
];

export const names: AttackTable = {
  title: "Odd names",
  prefix: "n",
  leadsToEvil: (index) => {
    const id = `n${String(index).padStart(2, "0")}`;
    return [
      `${id}.ok.example.evil.example`,
      `${id}.notok.example`,
      `xn--ok-${id}.example`,
      `xn--${id}-ymc.ok-example.evil.example`,
      // Only one host can have this name.
      ...(attacks[index]?.name === aboveWildcard ? ["ok.example"] : []),
    ];
  },
  attacks,
};
