/** Gateway: public addresses of ports inside sandboxes. What the control plane and the gateway ask of each other. */
import type { Duplex } from "node:stream";

/** A port of a sandbox that is exposed at a name. */
export interface Preview {
  readonly sandboxId: string;
  /**
   * A new connection to the port, inside the sandbox.
   * @throws CaissonError `unavailable`, `timeout`, `cancelled`, with a message for the visitor
   */
  connect(signal: AbortSignal): Promise<Duplex>;
  /** Aborted when the name has been given back. */
  readonly ended: AbortSignal;
}

/** Names are single DNS labels; the domain below which they stand is the gateway's. */
export interface PreviewDirectory {
  /** `reserved`: the name is somebody's and leads nowhere yet. Undefined: it is nobody's, or no longer. */
  find(label: string): Preview | "reserved" | undefined;
}

/** One request or WebSocket that reached a sandbox, when it is over. */
export interface Visit {
  readonly sandboxId: string;
  readonly kind: "request" | "websocket";
  /** Of the answer: the sandbox's own, or the gateway's when the sandbox gave none. */
  readonly status: number;
  /** Bytes of the connection in either direction, as the visitor's side counts them. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface PreviewGateway {
  /** Listens. @throws CaissonError `unavailable`, `invalid_argument` when certificate files cannot be used */
  listen(directory: PreviewDirectory): Promise<void>;
  /** What a visitor writes behind `https://`: the name below the gateway's domain, with the port unless it is 443. */
  addressOf(label: string): string;
  /** The label in an address or a host name: letter case, a port and a final dot do not matter. Undefined: not of our domain. */
  labelOf(address: string): string | undefined;
  /** Must not throw. */
  onVisit(listener: (visit: Visit) => void): void;
  /** Takes no more connections and cuts those that are open. */
  close(): Promise<void>;
}
