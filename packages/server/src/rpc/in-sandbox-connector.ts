/** Makes undici connect from inside the sandbox: with its network, its policy, and its authority for intercepted hosts. */
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import {
  connect as connectTls,
  createSecureContext,
  getCACertificates,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { Agent as HttpAgent, type buildConnector } from "undici";
import type { Workload } from "../workloads/index.ts";

/** Milliseconds for a TLS handshake. */
const handshakeTimeout = 30_000;
/** Milliseconds until the head of an answer. */
const headersTimeout = 600_000;

export interface ConnectorOptions {
  readonly sandbox: Workload;
  /** PEM of authorities that the operator trusts beside the public ones. */
  readonly extraCa: readonly string[];
  readonly signal: AbortSignal;
  /** Every connection goes to this port on the loopback of the sandbox; host and port of the URL are ignored. */
  readonly port?: number | undefined;
}

/** An HTTP client for one request and its redirects. The caller destroys it. */
export function httpThrough({ sandbox, extraCa, signal, port }: ConnectorOptions): HttpAgent {
  const connect = async ({ hostname, protocol, port: given, servername }: buildConnector.Options): Promise<Duplex> => {
    const host = hostname.replace(/^\[(.*)\]$/, "$1");
    if (port !== undefined) return await sandbox.agent.dial("127.0.0.1", port, { signal });
    const target = given === "" ? (protocol === "https:" ? 443 : 80) : Number(given);
    const raw = await sandbox.agent.dial(host, target, { signal });
    return protocol === "https:" ? await handshake(raw, servername ?? host, trustOf(sandbox, extraCa)) : raw;
  };
  return new HttpAgent({
    headersTimeout,
    bodyTimeout: 0,
    connect: (options, callback) => {
      connect(options).then(
        // undici expects a socket. A Duplex with these few extra methods is enough.
        (stream) => callback(null, asSocket(stream) as TLSSocket),
        (error: unknown) => callback(error as Error, null),
      );
    },
  });
}

function handshake(raw: Duplex, servername: string, secureContext: SecureContext): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      socket: raw,
      host: servername,
      ...(isIP(servername) === 0 ? { servername } : {}),
      secureContext,
      ALPNProtocols: ["http/1.1"],
    });
    const timer = setTimeout(() => socket.destroy(new Error("the TLS handshake took too long")), handshakeTimeout);
    socket.once("error", (error) => {
      clearTimeout(timer);
      raw.destroy();
      reject(error);
    });
    socket.once("secureConnect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

const contexts = new WeakMap<Workload, SecureContext>();

function trustOf(sandbox: Workload, extraCa: readonly string[]): SecureContext {
  const known = contexts.get(sandbox);
  if (known !== undefined) return known;
  const { caCertificatePem } = sandbox;
  const own = caCertificatePem === undefined ? [] : [caCertificatePem];
  const context = createSecureContext({ ca: [...getCACertificates("default"), ...extraCa, ...own] });
  contexts.set(sandbox, context);
  return context;
}

function asSocket(stream: Duplex): Duplex {
  const extra = { ref: noop, unref: noop, setNoDelay: noop, setKeepAlive: noop, setTimeout: noop };
  for (const [name, value] of Object.entries(extra)) {
    if (!(name in stream)) Object.defineProperty(stream, name, { value });
  }
  return stream;
}

function noop(this: unknown): unknown {
  return this;
}
