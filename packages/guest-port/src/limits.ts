/**
 * What a guest may send without being asked. One table for all readers on the host: whoever sends more is ended, so every value is far
 * above what a correct guest needs.
 *
 * Measured with an honest guest under software emulation, two processors. KVM is taken to be ten times faster.
 *
 * | what the guest does                        | beside content           | chunks below 1 KiB         |
 * |--------------------------------------------|--------------------------|----------------------------|
 * | small calls, 32 at a time                  | 23 bytes per call        | 1 per call                 |
 * | commands with output                       | 68 bytes per command     | 2 per command              |
 * | output of 200 MB                           | 12 KB                    | none                       |
 * | output in writes of one byte               | 9 bytes per chunk        | 400 per second, peak 3 400 |
 * | upload of 80 MB                            | 7 KB                     | none                       |
 * | reads of endless output, cancelled 10 per s | 0.9 MB per read (late)  | none                       |
 */
import type { Rate } from "./token-bucket.ts";

const MiB = 2 ** 20;

/**
 * QMP events of one machine. A guest can cause them: each write to the registers of ACPI hotplug is an event that QEMU does not limit.
 * Most that an honest guest causes at once: each request in its queues fails on a full disk of the host, 4 queues of 256. Apart from
 * that a whole life with volumes and snapshots has fewer than 40.
 */
export const monitorLimits: { readonly events: Rate; readonly bytes: Rate } = {
  events: { burst: 4096, perSecond: 64 },
  bytes: { burst: 4 * MiB, perSecond: 64 * 1024 },
};

/** Limits for one HTTP/2 port. */
export interface PortLimits {
  /** Bytes of frames beside content. */
  readonly overhead: Rate;
  /** Chunks of content of less than `smallChunk` bytes. */
  readonly chunks: Rate;
  /** Connections, that is handshakes. A correct guest has one for each process of the host. */
  readonly connections: Rate;
  /** Bytes before the answer to a handshake: what an earlier connection left in the port. */
  readonly stale: Rate;
  /** Bytes that still arrive on streams that the host closed. */
  readonly late: Rate;
  /** Allowed in addition for each stream that the host opens: heads, trailers, window updates. */
  readonly perStream: number;
  /**
   * HTTP/2 window of a stream, bytes: what the guest may send on it before it is read, and so what may still arrive when the host closes
   * it. The server's accounts of memory count on it.
   */
  readonly window: number;
}

/** A frame of content smaller than this costs its reader more than the bytes in it. */
export const smallChunk = 1024;

/** The header of an HTTP/2 frame, RFC 9113, 4.1. */
export const frameHeaderBytes = 9;

/**
 * A guest returns credit for what it was sent: two WINDOW_UPDATE frames (26 bytes) for each 4 KiB at the most (Go, `inflowMinRefresh`).
 * So one byte may come back for this many.
 */
export const sentPerReturned = 128;

/** Control port: the host opens all streams. Between calls a correct guest sends nothing. */
export const controlLimits: PortLimits = {
  overhead: { burst: MiB, perSecond: 64 * 1024 },
  chunks: { burst: 100_000, perSecond: 10_000 },
  connections: { burst: 30, perSecond: 0.2 },
  stale: { burst: 512 * MiB, perSecond: 4 * MiB },
  late: { burst: 256 * MiB, perSecond: 16 * MiB },
  perStream: 2048,
  window: 256 * 1024,
};

/** Egress port: the guest opens the streams, so their heads count as overhead: some 200 bytes per connection. */
export const egressLimits: PortLimits = {
  overhead: { burst: 4 * MiB, perSecond: MiB },
  chunks: { burst: 100_000, perSecond: 10_000 },
  connections: { burst: 60, perSecond: 1 },
  stale: { burst: 160 * MiB, perSecond: 4 * MiB },
  late: { burst: 256 * MiB, perSecond: 16 * MiB },
  perStream: 0,
  window: 256 * 1024,
};
