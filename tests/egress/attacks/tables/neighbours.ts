/** The host, its services, other sandboxes and internal networks, asked for from a sandbox without any policy. */
import { reached, told, type Attack, type AttackTable } from "../attack.ts";

const internal = { succeeded: reached("evil"), rule: "internal-address" } as const;

/** `address` in an internal range that nobody else's test uses. */
const range = (
  name: string,
  address: (index: number) => string,
  row = 7,
): Attack & { readonly address: (index: number) => string } => ({
  ...internal,
  row,
  name,
  python: `talk(tcp(TARGET, 9000), "\\x00hello")`,
  address,
});

const ranges = [
  range("private network 10", (index) => `10.99.0.${index}`),
  range("private network 172.16", (index) => `172.16.99.${index}`),
  range("private network 192.168", (index) => `192.168.99.${index}`),
  range("carrier-grade NAT", (index) => `100.64.99.${index}`),
  range("link-local", (index) => `169.254.99.${index}`),
  range("metadata of a cloud", () => "169.254.169.254"),
  range("metadata of another cloud", () => "100.100.100.200"),
  {
    // The sandbox's own names have addresses of this network, so the address itself travels as a name.
    ...range("benchmarking network", (index) => `198.18.0.${index}`),
    python: `by_name(TARGET, 9000)`,
  },
  range("reserved network", (index) => `240.0.0.${index}`),
  range("protocol assignments", (index) => `192.0.0.${index}`),
  range("unique local IPv6", (index) => `fd00:99::${index}`),
  range("metadata over IPv6", () => "fd00:ec2::254"),
  range("IPv4 inside IPv6 (NAT64)", (index) => `64:ff9b::a63:${index}`),
  range("IPv4 inside IPv6 (6to4)", (index) => `2002:a63:${index}::1`),
  range("IPv4 inside IPv6 (translated)", (index) => `::ffff:0:a63:${index}`),
] as const;

/** Loopback of the host, by names that only the host would take for it. */
const loopback = (name: string, spelling: string): Attack => ({
  ...internal,
  row: 8,
  name: `loopback as ${name}`,
  python: `by_name("${spelling}", PORT)`,
});

export const neighbours: AttackTable & { readonly targets: readonly ((index: number) => string)[] } = {
  title: "The host and its neighbourhood",
  prefix: "b",
  unrestricted: true,
  openRanges: ["127.0.0.0/8", "::1/128", "0.0.0.0/8"],
  targets: ranges.map(({ address }) => address),
  leadsToEvil: (index) => (index < ranges.length ? [ranges[index]?.address(index) ?? ""] : []),
  attacks: [
    ...ranges,
    loopback("an address", "127.0.0.1"),
    loopback("another address of the range", "127.0.0.1."),
    loopback("a short address", "127.1"),
    loopback("a decimal address", "2130706433"),
    loopback("a hexadecimal address", "0x7f000001"),
    loopback("an octal address", "0177.0.0.1"),
    loopback("mixed forms", "0x7f.1"),
    {
      ...internal,
      row: 21,
      name: "which ports of the node are open, by how connect() ends",
      python: `
_, found = dns("127.0.0.1")
ends = []
for port in (CONTROL, 9):
    try: tcp(found[0], port).close(); ends.append("open")
    except OSError as error: ends.append(str(error))
say("they differ:" if len(set(ends)) > 1 else "the same:", *ends)`,
      succeeded: told(/they differ/),
    },
    {
      ...internal,
      row: 21,
      name: "the control plane at its address",
      python: `by_name("127.0.0.1", CONTROL, head("GET", "/", "127.0.0.1:%d" % CONTROL))`,
      succeeded: ({ outcome }) =>
        /HTTP\/1\.1 [1-5]/.test(outcome) && !/egress_/.test(outcome) ? "the control plane answered" : undefined,
    },
  ],
};
