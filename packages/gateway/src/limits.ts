import { gatewayConnections } from "@caisson/protocol";

/** Bounds of the gateway. Milliseconds and bytes. */
export const limits = {
  /** One request head, from either side. */
  headerBytes: 64 * 1024,
  headerFields: 256,
  /** Requests of one connection that have no complete answer yet. */
  pipelined: 64,
  /** Until a visitor has sent the head of a request, and until a TLS handshake is over. */
  headers: 20_000,
  handshake: 10_000,
  /** Until the directory has found where a name leads. What it leads to may have to be started first. */
  find: 60_000,
  /** Until the program inside has accepted a connection. */
  connect: 10_000,
  /** Until the program inside begins its answer, and between two pieces of a body. */
  silence: 300_000,
  /** Without a byte in either direction of a WebSocket. */
  quietSocket: 15 * 60_000,
  /** Until a visitor has read the last answer of a connection that the HTTP server no longer watches. */
  linger: 2_000,
  keepAlive: 65_000,
  connections: gatewayConnections,
  /** Names with a certificate in memory. */
  certificates: 4096,
} as const;
