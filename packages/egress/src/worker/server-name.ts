/** Checks that the server name in TLS is the hostname of the connection. */
import type { Duplex } from "node:stream";
import { canonicalHost } from "@caisson/policy";
import type { ClientHello } from "../sniff/client-hello.ts";
import { ConnectionRefused, type GuestConnection } from "./guest-connection.ts";

/**
 * @param socket where the ClientHello came from
 * @throws ConnectionRefused
 */
export function checkServerName({ sandbox, host }: GuestConnection, clientHello: ClientHello, socket: Duplex): void {
  // The program gets a certificate for the name that it connected to, and so does the proxy from the upstream.
  if (clientHello.serverName === undefined) return;
  const named = canonicalHost(clientHello.serverName);
  if (named !== undefined && named.text === host.text) return;
  // Whoever may reach every address may also call it by any name.
  if (host.kind === "ip" && !sandbox.policy.restricted && named !== undefined) return;
  throw new ConnectionRefused(
    "sni-mismatch",
    `The connection is for ${host.text}, but the TLS server name (SNI) is ${JSON.stringify(clientHello.serverName.slice(0, 253))}.`,
    socket,
  );
}
