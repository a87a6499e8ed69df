/**
 * Connections to checked addresses that were made for a program before it has sent anything. What the program speaks decides who goes on
 * with them: a tunnel, TLS, or the clients that all requests of the sandbox share.
 */
import type { Socket } from "node:net";
import type { Target } from "./resolver.ts";

export interface Dialled {
  readonly socket: Socket;
  readonly address: string;
}

interface Entry extends Dialled {
  /** Whether the upstream has sent bytes, or its end. */
  spoke: boolean;
  readonly heard: () => void;
  readonly late: NodeJS.Timeout;
}

/** Milliseconds that one is kept. By then it is known what the program speaks; its requests then go over other connections. */
const kept = 35_000;

export class ReadyConnections {
  readonly #entries = new Map<string, Set<Entry>>();

  /** @returns ends the connection, if nobody has taken it */
  add(target: Target, dialled: Dialled): () => void {
    const { socket } = dialled;
    const release = (): void => {
      if (this.#remove(target.key, entry)) socket.destroy();
    };
    const heard = (): void => void (entry.spoke = true);
    const entry: Entry = { ...dialled, spoke: false, heard, late: setTimeout(release, kept).unref() };
    const entries = this.#entries.get(target.key) ?? new Set();
    this.#entries.set(target.key, entries.add(entry));
    // Whoever takes it has listeners of his own.
    socket.on("error", () => {});
    socket.once("readable", heard);
    socket.once("close", release);
    return release;
  }

  /**
   * The newest one to these addresses.
   * @param silent only one over which the upstream has sent nothing, for protocols in which the client speaks first
   */
  take(target: Target, silent: boolean): Dialled | undefined {
    const entries = [...(this.#entries.get(target.key) ?? [])];
    const entry = entries.findLast(({ socket, spoke }) => !socket.destroyed && !(silent && spoke));
    if (entry === undefined) return undefined;
    this.#remove(target.key, entry);
    return { socket: entry.socket, address: entry.address };
  }

  #remove(key: string, entry: Entry): boolean {
    const entries = this.#entries.get(key);
    if (entries?.delete(entry) !== true) return false;
    if (entries.size === 0) this.#entries.delete(key);
    clearTimeout(entry.late);
    entry.socket.off("readable", entry.heard);
    return true;
  }
}
