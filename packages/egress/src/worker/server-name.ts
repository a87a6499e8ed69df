/** The name inside TLS must be the name that was asked for. */
import type { Duplex } from "node:stream";
import { canonicalHost } from "@caisson/policy";
import type { ClientHello } from "../sniff/client-hello.ts";
import { ConnectionRefused, type GuestConnection } from "./guest-connection.ts";

/**
 * @param socket where the hello came from
 * @throws ConnectionRefused
 */
export function checkServerName({ sandbox, host, reads }: GuestConnection, hello: ClientHello, socket: Duplex): void {
  if (hello.serverName === undefined) {
    if (host.kind === "name" && reads)
      throw new ConnectionRefused("sni-missing", `TLS for ${host.text} does not name the host (SNI).`, socket);
    return;
  }
  const named = canonicalHost(hello.serverName);
  if (named !== undefined && named.text === host.text) return;
  // Whoever may reach every address may also call it by any name.
  if (host.kind === "ip" && !sandbox.policy.restricted && named !== undefined) return;
  throw new ConnectionRefused(
    "sni-mismatch",
    `The connection is for ${host.text}, but TLS names ${JSON.stringify(hello.serverName.slice(0, 253))}.`,
    socket,
  );
}
