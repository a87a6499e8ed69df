/** State of one connection: streams, file handles, calls that can be aborted, held-back output. */
import type { NotificationName, NotificationParams } from "@caisson/api";
import type { HoldBack } from "./streams/hold-back.ts";
import type { InboundStreams } from "./streams/inbound.ts";
import type { OutboundStreams } from "./streams/outbound.ts";

export interface ConnectionState {
  readonly inbound: InboundStreams;
  readonly outbound: OutboundStreams;
  /** The client's number to the agent's handle. */
  readonly handles: Map<number, bigint>;
  /** By the client's abortId. */
  readonly aborts: Map<number, AbortController>;
  /** By pid. */
  readonly heldBack: Map<number, HoldBack>;
  /** By pid, while the client has not been sent all that a process writes: resolved when it has. */
  readonly outputs: Map<number, Promise<void>>;
  /** Aborted when the connection has ended. */
  readonly signal: AbortSignal;
  nextHandle(): number;
  notify<N extends NotificationName>(method: N, params: NotificationParams<N>): void;
}
