/** Verified TLS connections to upstreams, over TCP connections to checked addresses. */
import { isIP } from "node:net";
import { connect as tlsConnect, type SecureContext, type TLSSocket } from "node:tls";
import { dial, type DialOptions } from "../resolve/dial.ts";
import type { Target } from "../resolve/resolver.ts";

export interface SecureDial extends DialOptions {
  readonly alpn: readonly string[];
  readonly trust: SecureContext;
  /** Sessions to resume, by host; only for the same host and sandbox. */
  readonly tlsSessions: Map<string, Buffer>;
}

const handshakeTimeout = 10_000;
const maxSessions = 256;

/** @throws the error of the last address, or of the handshake, or of the verification */
export async function dialSecure(
  host: string,
  target: Target,
  options: SecureDial,
): Promise<{ socket: TLSSocket; address: string }> {
  const { signal } = options;
  const { socket: raw, address } = await dial(target, options);
  const sessionKey = `${host}:${target.port}/${options.alpn.join()}`;
  const session = options.tlsSessions.get(sessionKey);
  const socket = tlsConnect({
    socket: raw,
    // The name of a certificate is checked against `host`; an address has no server name (RFC 6066 3).
    host,
    ...(isIP(host) === 0 && { servername: host }),
    ALPNProtocols: [...options.alpn],
    secureContext: options.trust,
    ...(session !== undefined && { session }),
    rejectUnauthorized: true,
  });
  socket.on("session", (ticket: Buffer) => {
    if (options.tlsSessions.size >= maxSessions) options.tlsSessions.delete(options.tlsSessions.keys().next().value!);
    options.tlsSessions.set(sessionKey, ticket);
  });
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => socket.destroy(Object.assign(new Error("The TLS handshake took too long"), { code: "ETIMEDOUT" })),
      handshakeTimeout,
    );
    const abort = (): void => void socket.destroy(signal!.reason as Error);
    signal?.addEventListener("abort", abort, { once: true });
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      socket.off("error", settle);
      socket.off("secureConnect", done);
      socket.off("close", closed);
      if (error === undefined) resolve();
      else reject(error);
    };
    const done = (): void => settle();
    const closed = (): void =>
      settle(Object.assign(new Error("The connection ended during the TLS handshake"), { code: "ERR_TLS_HANDSHAKE" }));
    socket.once("error", settle);
    socket.once("secureConnect", done);
    socket.once("close", closed);
    if (signal?.aborted === true) abort();
  });
  return { socket, address };
}
