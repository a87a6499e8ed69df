/**
 * What one worker is to serve, and how it gets to know. The table here is what counts: each change of it is sent in the same turn, a
 * worker does in order what it is sent, and one that has just been started is sent all of it. So the newest attach of a sandbox wins, and
 * nothing that an earlier one left on its way can bring its policy back.
 */
import { CaissonError, type EgressAttachment } from "@caisson/protocol";
import type { Logger } from "pino";
import type { WorkerConfig } from "../worker/messages.ts";
import { WorkerProcess, type WorkerListener } from "./worker-process.ts";

/** Milliseconds that an attach may take, also when the worker has to be started again for it. */
const attachDeadline = 15_000;

interface Entry {
  readonly attachment: EgressAttachment;
  /** The certificate of the sandbox's authority, once the port is served. */
  readonly served: PromiseWithResolvers<string>;
}

export class Attachments {
  readonly #entries = new Map<string, Entry>();
  readonly #worker: WorkerProcess;
  readonly #log: Logger;
  #closed = false;

  constructor(config: WorkerConfig, listener: Pick<WorkerListener, "onEvents" | "onFlood">, log: Logger) {
    this.#log = log;
    this.#worker = new WorkerProcess(config, { ...listener, onStart: () => this.#tellAll() }, log);
  }

  get pid(): number | undefined {
    return this.#worker.pid;
  }

  /**
   * Ends the network that the sandbox had, also when it then fails: the policy before may be wider than the one asked for now.
   * @returns the certificate of the sandbox's authority (PEM)
   * @throws CaissonError `cancelled` when a newer attach or a detach comes first, `timeout`, `unavailable` after `close`, `internal`;
   * the signal's reason
   */
  async attach(attachment: EgressAttachment, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    if (this.#closed) throw closed();
    const { sandboxId } = attachment;
    const entry: Entry = { attachment, served: Promise.withResolvers() };
    const { promise, reject } = entry.served;
    this.#remove(sandboxId, "The sandbox was attached to the egress proxy again.");
    this.#entries.set(sandboxId, entry);
    this.#send(entry);
    const late = (): void => reject(new CaissonError("timeout", "The egress proxy did not answer in time."));
    const timer = setTimeout(late, attachDeadline);
    const abort = (): void => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await promise;
    } catch (error) {
      // Only what is its own: a newer attach stays.
      if (this.#entries.get(sandboxId) === entry) this.detach(sandboxId).catch(() => {});
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Asks the worker also for a sandbox that is not in the table: what was removed from it a moment ago may still be served. */
  async detach(sandboxId: string): Promise<void> {
    this.#remove(sandboxId, "The sandbox was detached from the egress proxy.");
    await this.#worker.call({ type: "detach", sandboxId }).catch((error: unknown) => {
      // A worker that ended holds nothing any more.
      if (!isUnavailable(error)) throw error;
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { served } of this.#entries.values()) served.reject(closed());
    this.#entries.clear();
    await this.#worker.close();
  }

  #remove(sandboxId: string, why: string): void {
    this.#entries.get(sandboxId)?.served.reject(new CaissonError("cancelled", why));
    this.#entries.delete(sandboxId);
  }

  #send(entry: Entry): void {
    const { attachment, served } = entry;
    this.#worker.call({ type: "attach", attachment }).then(
      ({ caCertificatePem }) => {
        if (caCertificatePem !== undefined) served.resolve(caCertificatePem);
        else served.reject(new CaissonError("internal", "The egress proxy did not return its certificate authority."));
      },
      (error: unknown) => {
        // The next process gets it again.
        if (isUnavailable(error)) return;
        this.#log.error({ err: error, sandbox: attachment.sandboxId }, "a sandbox could not be attached");
        served.reject(error);
      },
    );
  }

  #tellAll(): void {
    if (this.#entries.size > 0) this.#log.warn({ sandboxes: this.#entries.size }, "sandboxes are being attached again");
    for (const entry of this.#entries.values()) this.#send(entry);
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof CaissonError && error.code === "unavailable";
}

function closed(): CaissonError {
  return new CaissonError("unavailable", "The egress proxy is closed.");
}
