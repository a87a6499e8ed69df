/** Recognises the protocol of an allowed connection, layer by layer, and passes it to its handler. */
import type { Duplex } from "node:stream";
import { canonicalHost } from "@caisson/policy";
import type { HttpConnection } from "../intercept/model/http-connection.ts";
import { serveHttp2 } from "../intercept/http2/server.ts";
import { Http2StreamSocket } from "../intercept/http1/http2-stream-socket.ts";
import { withoutProxy } from "../intercept/model/outcome.ts";
import type { ClientHello } from "../sniff/client-hello.ts";
import { firstBytesOf, type FirstBytes } from "../sniff/first-bytes-of.ts";
import { ConnectionRefused, type GuestConnection } from "./guest-connection.ts";
import { openUpstream, type Inside } from "./open-upstream.ts";
import { faultOfCut, tunnel } from "./tunnel.ts";
import { listenFirst } from "./server-first.ts";
import { checkServerName } from "./server-name.ts";

/** Milliseconds. */
const waits = { serverFirst: 300, firstBytes: 30_000 } as const;
/** On these the client always speaks first. */
const clientFirstPorts = new Set([80, 443]);

/** @throws ConnectionRefused, and what dialling throws */
export async function speak(connection: GuestConnection, socket: Duplex, inside?: Inside): Promise<void> {
  // The protocol was agreed on in the TLS handshake (ALPN).
  if (inside?.alpn === "h2") return await proceed(connection, socket, { kind: "http2" }, inside);
  const serverMayBegin = !clientFirstPorts.has(connection.port);
  const first = await firstBytesOf(socket, {
    patience: waits.firstBytes,
    ...(serverMayBegin && { silence: waits.serverFirst }),
  });
  // A guest that has ended its side may still read, where servers send first.
  if (first.kind !== "silent" && !(first.kind === "ended" && serverMayBegin && !socket.destroyed))
    return await proceed(connection, socket, first, inside);
  const guestData = await listenFirst(connection, socket, await openUpstream(connection, inside));
  if (guestData !== undefined) await proceed(connection, socket, guestData, inside);
}

async function proceed(
  connection: GuestConnection,
  socket: Duplex,
  first: FirstBytes,
  inside: Inside | undefined,
): Promise<void> {
  const { sandbox, record, reads } = connection;
  const http: HttpConnection = {
    principal: sandbox,
    id: record.id,
    scheme: inside === undefined ? "http" : "https",
    host: connection.host,
    port: connection.port,
    ...(!connection.judged && {
      unjudged: {
        async passOn(guest: Duplex, beginning: Buffer) {
          const upstream = await openUpstream(connection, inside);
          upstream.write(beginning);
          tunnel(connection, guest, upstream);
        },
      },
    }),
  };
  switch (first.kind) {
    case "ended":
      socket.destroy();
      return;
    case "cut": {
      const fault = faultOfCut(connection, first.bytes);
      if (fault !== undefined) throw fault;
      const upstream = await openUpstream(connection, inside);
      upstream.write(first.bytes);
      return tunnel(connection, socket, upstream);
    }
    case "slow":
      if (reads)
        throw new ConnectionRefused(
          "unclear-protocol",
          "The protocol could not be recognised in time from the first bytes.",
        );
      return tunnel(connection, socket, await openUpstream(connection, inside));
    case "socks":
      if (sandbox.policy.restricted && connection.judged)
        throw new ConnectionRefused(
          "proxy-protocol",
          `SOCKS is not allowed under a network policy: it would lead to hosts that the policy has not checked. ${withoutProxy}`,
        );
      return tunnel(connection, socket, await openUpstream(connection, inside));
    case "malformed":
      if (reads) throw new ConnectionRefused("malformed-hello", first.detail);
      return tunnel(connection, socket, await openUpstream(connection, inside));
    case "tls":
      if (inside !== undefined) {
        if (reads && sandbox.policy.restricted)
          throw new ConnectionRefused(
            "nested-tls",
            "TLS inside TLS cannot be checked against the network policy.",
            socket,
          );
        return tunnel(connection, socket, await openUpstream(connection, inside));
      }
      return await speakTls(connection, socket, first.clientHello);
    case "http1":
      if (inside === undefined) record.protocol = "http/1.1";
      sandbox.shared.http1.serve(inside === undefined ? new Http2StreamSocket(socket) : socket, http);
      return;
    case "http2":
      if (inside === undefined) record.protocol = "h2";
      serveHttp2(socket, http);
      return;
    default:
      return tunnel(connection, socket, await openUpstream(connection, inside));
  }
}

async function speakTls(connection: GuestConnection, socket: Duplex, clientHello: ClientHello): Promise<void> {
  const { sandbox, host, record, reads } = connection;
  record.protocol = "tls";
  checkServerName(connection, clientHello, socket);
  if (!reads) return tunnel(connection, socket, await openUpstream(connection, undefined));
  const tls = await sandbox.terminator.terminate(socket, host.text, clientHello.alpn).catch((error: unknown) => {
    throw new ConnectionRefused(
      "tls-with-guest",
      `The TLS handshake with the program in the sandbox failed: ${(error as Error).message}`,
    );
  });
  tls.on("error", () => socket.destroy());
  tls.on("close", () => socket.destroy());
  // OpenSSL must have parsed the same name as we have.
  const name = (tls as { servername?: string | false | null }).servername;
  if (typeof name === "string" && name !== "" && canonicalHost(name)?.text !== host.text)
    throw new ConnectionRefused("sni-mismatch", "The server name (SNI) is ambiguous.");
  const alpn = tls.alpnProtocol === false || tls.alpnProtocol === null ? undefined : tls.alpnProtocol;
  await speak(connection, tls, { alpn });
}
