/** Row 22: attacks by way of public addresses. Each says how it came through, or nothing when it did not. */
import { talk, type PreviewWorld } from "./world.ts";

export interface PreviewAttack {
  readonly name: string;
  /** @param mark a word that nobody else sends */
  readonly run: (world: PreviewWorld, mark: string) => Promise<string | undefined>;
}

type Words = (world: PreviewWorld, mark: string) => string;

const lines = (...all: string[]) => `${all.join("\r\n")}\r\n\r\n`;
const found = (text: string, pattern: RegExp) => pattern.exec(text)?.[0];
const at = (world: PreviewWorld) => `${world.own.host}:${world.gatewayPort}`;

/** The control plane answers through the gateway. */
const control = (name: string, words: Words): PreviewAttack => ({
  name,
  run: async (world, mark) =>
    found(await talk(world.gatewayPort, words(world, mark), world.own.host), /^x-deno-(trace-id|sandbox-id): .*/im),
});

/** The other sandbox's program is reached by a connection and a name that are not its own. */
const foreign = (name: string, words: Words, servername = (world: PreviewWorld) => world.own.host): PreviewAttack => ({
  name,
  run: async (world, mark) => {
    await talk(world.gatewayPort, words(world, mark), servername(world));
    return (await world.other.seen()).includes(mark) ? "the other sandbox got the request" : undefined;
  },
});

/** The program takes for a request of its own what the gateway took for a part of another. */
const smuggled = (name: string, words: Words): PreviewAttack => ({
  name: `smuggling: ${name}`,
  run: async (world, mark) => {
    await talk(world.gatewayPort, words(world, mark), world.own.host);
    const seen = await world.own.seen();
    return seen.includes(`[GET /${mark} `) ? "a second request arrived inside of the first" : undefined;
  },
});

const hidden = (world: PreviewWorld, mark: string) => lines(`GET /${mark} HTTP/1.1`, `host: ${world.own.host}`);

/** A name leads to the attacker's program that is not his. */
const taken = (name: string, domain: (world: PreviewWorld) => string): PreviewAttack => ({
  name: `binding ${name}`,
  run: async (world, mark) => {
    const wanted = domain(world);
    await world.bind(wanted, 8080);
    const host = wanted.toLowerCase().replace(/:.*/, "").replace(/\.$/, "");
    const text = await talk(world.gatewayPort, lines(`GET /${mark} HTTP/1.1`, `host: ${host}`), host);
    return found(text, /program own/);
  },
});

const token = ({ control }: PreviewWorld) => `authorization: Bearer ${control.token}`;
const websocket = [
  "connection: upgrade",
  "upgrade: websocket",
  "sec-websocket-version: 13",
  "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
];

export const previewAttacks: readonly PreviewAttack[] = [
  control("control routes by their path", (world) =>
    lines("GET /api/v3/sandboxes HTTP/1.1", `host: ${at(world)}`, token(world)),
  ),
  control("the server's metrics", (world) => lines("GET /metrics HTTP/1.1", `host: ${at(world)}`)),
  control("the RPC of a sandbox", (world) =>
    lines(`GET /api/v3/sandbox/${world.own.id}/connect HTTP/1.1`, `host: ${at(world)}`, token(world), ...websocket),
  ),
  control("the control plane as Host", (world) =>
    lines("GET /api/v3/sandboxes HTTP/1.1", `host: 127.0.0.1:${world.control.port}`, token(world)),
  ),
  control("the control plane as target", (world) =>
    lines(`GET http://127.0.0.1:${world.control.port}/api/v3/sandboxes HTTP/1.1`, `host: ${at(world)}`, token(world)),
  ),
  {
    name: "a preview on the control plane's port",
    run: async (world, mark) => {
      await talk(world.control.port, lines(`GET /${mark} HTTP/1.1`, `host: ${world.own.host}`));
      return (await world.own.seen()).includes(mark) ? "the control plane's port served a preview" : undefined;
    },
  },

  foreign("another sandbox as Host", (world, mark) =>
    lines(`GET /${mark} HTTP/1.1`, `host: ${world.other.host}:${world.gatewayPort}`),
  ),
  foreign("the same in capitals and with a final dot", (world, mark) =>
    lines(`GET /${mark} HTTP/1.1`, `host: ${world.other.host.toUpperCase()}.`),
  ),
  foreign("two Hosts", (world, mark) =>
    lines(`GET /${mark} HTTP/1.1`, `host: ${at(world)}`, `host: ${world.other.host}`),
  ),
  foreign("another sandbox as target", (world, mark) =>
    lines(`GET https://${world.other.host}/${mark} HTTP/1.1`, `host: ${at(world)}`),
  ),
  foreign("X-Forwarded-Host", (world, mark) =>
    lines(`GET /${mark} HTTP/1.1`, `host: ${at(world)}`, `x-forwarded-host: ${world.other.host}`),
  ),
  foreign(
    "TLS for a name that is nobody's",
    (world, mark) => lines(`GET /${mark} HTTP/1.1`, `host: ${world.other.host}`),
    ({ domain }) => `nobody.${domain}`,
  ),
  foreign("a second request on the connection", (world, mark) => {
    const first = lines(
      "POST / HTTP/1.1",
      `x-forwarded-host: ${world.other.host}`,
      `host: ${at(world)}`,
      "content-length: 0",
    );
    return first + lines(`GET /${mark} HTTP/1.1`, `host: ${world.other.host}`);
  }),

  smuggled("length and coding", (world, mark) => {
    const chunk = hidden(world, mark);
    const head = lines("POST / HTTP/1.1", `host: ${at(world)}`, "content-length: 5", "transfer-encoding: chunked");
    return `${head}0\r\n\r\n${chunk}`;
  }),
  smuggled("two lengths", (world, mark) => {
    const body = hidden(world, mark);
    return lines("POST / HTTP/1.1", `host: ${at(world)}`, `content-length: ${body.length}`, "content-length: 0") + body;
  }),
  smuggled("a coding that is none", (world, mark) => {
    const head = lines("POST / HTTP/1.1", `host: ${at(world)}`, "transfer-encoding: xchunked", "content-length: 0");
    return head + hidden(world, mark);
  }),
  smuggled("a body that is a request", (world, mark) => {
    const body = hidden(world, mark);
    const head = lines("POST / HTTP/1.1", `host: ${at(world)}`, `content-length : ${body.length}`, "content-length: 0");
    return head + body;
  }),
  smuggled("lines without CR", (world, mark) => {
    const first = `GET / HTTP/1.1\nhost: ${at(world)}\nx: y\n\n`;
    return first + hidden(world, mark);
  }),
  smuggled(
    "behind an upgrade that is refused",
    (world, mark) => lines("GET / HTTP/1.1", `host: ${at(world)}`, ...websocket) + hidden(world, mark),
  ),

  {
    name: "cookies for all previews",
    run: async (world) => {
      const text = await talk(world.gatewayPort, lines("GET / HTTP/1.1", `host: ${at(world)}`), world.own.host);
      return found(text, /^set-cookie: tossed.*domain.*/im);
    },
  },

  taken("another sandbox's name", ({ other, gatewayPort }) => `${other.host}:${gatewayPort}`),
  taken("another sandbox's name in other letters", ({ other }) => `${other.host.toUpperCase()}.`),
  taken("a name that was not reserved", ({ domain }) => `${"a".repeat(32)}.${domain}`),
  taken("the gateway's own name", ({ domain }) => domain),
  taken("a name of another domain", () => "login.example"),

  {
    name: "a port on which only the host listens",
    run: async (world) => {
      const host = await world.expose(world.hostPort);
      const before = world.hostConnections();
      await talk(world.gatewayPort, lines("GET / HTTP/1.1", `host: ${host}`), host);
      return world.hostConnections() > before ? "the host's loopback was reached" : undefined;
    },
  },
  ...[61_101, 53].map((port) => ({
    name: `the agent's own port ${port}`,
    run: async (world: PreviewWorld) => {
      const host = await world.expose(port);
      return found(
        await talk(world.gatewayPort, lines("GET / HTTP/1.1", `host: ${host}`), host),
        /^HTTP\/1\.1 [1-4].*/,
      );
    },
  })),
];
