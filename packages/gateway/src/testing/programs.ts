/** A gateway with TLS in front of programs of this host, in place of programs in sandboxes. */
import { once } from "node:events";
import { connect, type AddressInfo, type Server, type Socket } from "node:net";
import { createGatewayAuthority } from "@caisson/egress";
import { CaissonError, configSchema, type HttpGateway, type HttpRoute, type Visit } from "@caisson/protocol";
import { pino } from "pino";
import { createGateway } from "../index.ts";
import { listen } from "./listen.ts";

export interface Place {
  readonly gateway: HttpGateway;
  readonly port: number;
  /** PEM: signs for all names. */
  readonly ca: string;
  readonly visits: Visit[];
  /** Ends what the names lead to. */
  readonly ended: AbortController;
  close(): Promise<void>;
}

export interface PlaceOptions {
  /** Ports of this host by name. A name that is not among them is nobody's. */
  readonly programs: ReadonlyMap<string, number> | Readonly<Record<string, number>>;
  readonly config?: Record<string, unknown>;
  readonly trustedProxies?: readonly string[];
  /** What routes have beside their connection. */
  readonly route?: (name: string) => Partial<HttpRoute>;
}

const authority = await createGatewayAuthority(Buffer.alloc(32, 7));

export async function openPlace({ programs, config = {}, trustedProxies = [], route }: PlaceOptions): Promise<Place> {
  const ports = programs instanceof Map ? programs : new Map(Object.entries(programs));
  const gateway = createGateway({
    config: configSchema.parse({ gateway: config }).gateway,
    port: 0,
    trustedProxies,
    issue: (hosts) => authority.issue(hosts),
    log: pino({ level: "silent" }),
  });
  const visits: Visit[] = [];
  const ended = new AbortController();
  gateway.onVisit((visit) => visits.push(visit));
  await listen(gateway, {
    find: async (name) => {
      const port = ports.get(name);
      if (port === undefined) return undefined;
      return { workloadId: name, ended: ended.signal, connect: () => dial(port), ...route?.(name) };
    },
  });
  return {
    gateway,
    port: Number(gateway.addressOf("x").split(":")[1]),
    ca: authority.certificatePem,
    visits,
    ended,
    close: () => gateway.close(),
  };
}

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect").catch((cause: unknown) => {
    throw new CaissonError("unavailable", "Nothing listens.", { cause });
  });
  return socket;
}

/** @returns the port */
export async function listenOn(server: Pick<Server, "listen" | "address" | "once">): Promise<number> {
  const listening = new Promise<void>((resolve) => server.once("listening", () => resolve()));
  server.listen(0, "127.0.0.1");
  await listening;
  return (server.address() as AddressInfo).port;
}
