/** Opens the connection to the upstream for bytes that are passed through. */
import type { Duplex } from "node:stream";
import { dial } from "../resolve/dial.ts";
import { dialSecure } from "../upstream/connect.ts";
import type { GuestConnection } from "./guest-connection.ts";

/** TLS of the guest that the proxy has terminated. */
export interface Inside {
  readonly alpn: string | undefined;
}

/** Opens a connection to the checked address, inside verified TLS if the guest's own TLS was terminated. */
export async function openUpstream(
  { sandbox, host, port, target, record, signal }: GuestConnection,
  inside: Inside | undefined,
): Promise<Duplex> {
  const own = sandbox.trustFor(host, port);
  const dialing = own === undefined ? sandbox.dialing : { ...sandbox.dialing, trust: own };
  const alpn = inside?.alpn === undefined ? [] : [inside.alpn];
  const { socket, address } =
    inside === undefined
      ? await dial(target, { ...dialing, signal, halfOpen: true })
      : await dialSecure(host.text, target, { ...dialing, signal, alpn, tlsSessions: new Map() });
  record.address = address;
  return socket;
}
