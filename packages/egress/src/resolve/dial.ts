/** Opens TCP connections to addresses that were checked, and to nothing else. */
import { connect, isIP, type Socket } from "node:net";
import { request } from "node:http";
import { codeOf } from "@caisson/protocol";
import type { Dialled, ReadyConnections } from "./ready.ts";
import type { Target } from "./resolver.ts";

export interface DialOptions {
  readonly signal?: AbortSignal;
  /** An HTTP proxy that is asked to CONNECT to the checked address. */
  readonly upstreamProxy?: URL;
  /** For one address, milliseconds. */
  readonly timeout?: number;
  /** Whether we may go on sending when the other side has ended. */
  readonly halfOpen?: boolean;
  /** Connections that were made before; one of them is taken if it fits. */
  readonly ready?: ReadyConnections;
}

const defaultTimeout = 8_000;
/** The owner of a name decides how many addresses it has. This many are tried, for this many milliseconds in all. */
const [mostAddresses, wholeTimeout] = [8, 20_000];

/**
 * Tries the addresses in order until one answers.
 * @throws the error of the last address that there is a way to
 */
export async function dial(target: Target, options: DialOptions = {}): Promise<Dialled> {
  const halfOpen = options.halfOpen === true;
  const made = options.ready?.take(target, !halfOpen);
  if (made !== undefined) {
    made.socket.allowHalfOpen = halfOpen;
    return made;
  }
  let failure: unknown;
  const whole = AbortSignal.timeout(wholeTimeout);
  const signal = options.signal === undefined ? whole : AbortSignal.any([options.signal, whole]);
  for (const address of target.addresses.slice(0, mostAddresses)) {
    if (signal.aborted) break;
    try {
      const socket =
        options.upstreamProxy === undefined
          ? await connectTo(address, target.port, { ...options, signal })
          : await connectThrough(options.upstreamProxy, address, target.port, { ...options, signal });
      return { socket, address };
    } catch (error) {
      // A host without IPv6 has no way to the addresses of IPv6, which are the last.
      if (failure === undefined || codeOf(error) !== "ENETUNREACH") failure = error;
    }
  }
  throw failure ?? signal.reason;
}

function connectTo(address: string, port: number, options: DialOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const signal = deadline(options);
    const socket = connect({
      host: address,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      autoSelectFamily: false,
      allowHalfOpen: options.halfOpen === true,
    });
    const abort = (): void => void socket.destroy(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      signal.removeEventListener("abort", abort);
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

function connectThrough(proxy: URL, address: string, port: number, options: DialOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const signal = deadline(options);
    const authority = isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
    const headers: Record<string, string> = { host: authority };
    if (proxy.username !== "") {
      const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
      headers["proxy-authorization"] = `Basic ${Buffer.from(credentials).toString("base64")}`;
    }
    const outgoing = request({
      host: proxy.hostname.replace(/^\[|\]$/g, ""),
      port: proxy.port === "" ? 80 : Number(proxy.port),
      method: "CONNECT",
      path: authority,
      headers,
      agent: false,
      signal,
    });
    outgoing.once("connect", (response, socket, head) => {
      if (response.statusCode !== 200) {
        socket.destroy();
        reject(refusedBy(response.statusCode, authority));
        return;
      }
      if (head.length > 0) socket.unshift(head);
      socket.allowHalfOpen = options.halfOpen === true;
      resolve(socket);
    });
    outgoing.once("response", (response) => {
      response.destroy();
      reject(refusedBy(response.statusCode, authority));
    });
    // Of a signal Node reports only an AbortError, and not that the time is over.
    outgoing.once("error", (error) => reject(signal.aborted ? (signal.reason as Error) : error));
    outgoing.end();
  });
}

/** 504 is the proxy's word for a host that does not answer (RFC 9110 15.6.5). */
function refusedBy(status: number | undefined, authority: string): Error {
  const error = new Error(`The upstream proxy answered ${status} for ${authority}`);
  return status === 504 ? Object.assign(error, { code: "ETIMEDOUT" }) : error;
}

function deadline(options: DialOptions): AbortSignal {
  const timeout = AbortSignal.timeout(options.timeout ?? defaultTimeout);
  return options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
}
