import { gatewayConnections } from "@caisson/protocol";

/** Bounds of the gateway. Milliseconds and bytes. */
export const limits = {
  /** One request head, from either side. */
  headerBytes: 64 * 1024,
  headerFields: 256,
  /** Characters of a path in the log of visits. */
  loggedPath: 1024,
  trailerFields: 64,
  /** Requests of one connection of HTTP/1.1 that have no complete answer yet. */
  pipelined: 64,
  /** Streams of one connection of HTTP/2. */
  streams: 100,
  /** Bytes of bodies that a visitor may send before they are read: of one stream, and of a connection. */
  streamWindow: 128 * 1024,
  connectionWindow: 256 * 1024,
  /** Frames that cost work and move nothing (PING, SETTINGS) that one connection may send in ten seconds. */
  idleFrames: 100,
  /** Resets of streams by the visitor (CVE-2023-44487): at once, and in a second on average. */
  resetBurst: 200,
  resetRate: 50,
  /** Until a visitor has sent the head of a request, and until a TLS handshake is over. */
  headers: 20_000,
  handshake: 10_000,
  /** Until the directory has found where a name leads. What it leads to may have to be started first. */
  find: 60_000,
  /** Until the program inside has accepted a connection. */
  connect: 10_000,
  /** Until the program inside begins its answer, and between two pieces of a body. */
  silence: 300_000,
  /**
   * A body whose length is known must come with so many bytes in a second, counted over so many milliseconds in which we wait for it.
   * One of unknown length may be a conversation, so there only `silence` counts.
   */
  slowestBody: 100,
  slowBody: 20_000,
  /** Without a byte in either direction of a WebSocket. */
  quietSocket: 15 * 60_000,
  /** Until a visitor has read the last answer of a connection that the HTTP server no longer watches. */
  linger: 2_000,
  keepAlive: 65_000,
  connections: gatewayConnections,
  /** Names with a certificate in memory. */
  certificates: 4096,
} as const;
