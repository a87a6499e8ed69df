/**
 * Certificates of an authority outside: which are wanted, which there are, and when they are renewed. Hostnames outside the gateway's
 * domain always prove themselves by TLS-ALPN-01: their DNS zones are not ours.
 */
import type { Config, PublicCertificate, PublicCertificates } from "@caisson/protocol";
import type { Logger } from "pino";
import { order } from "./acme.ts";
import type { CertificateStore, StoredCertificate } from "./store.ts";

/** A certificate is renewed when less than this part of its time is left. */
const renewAt = 1 / 3;
/** Milliseconds between tries for one name: authorities count failures. Doubled at each, up to a day. */
const firstPause = 60_000;
const longestPause = 24 * 3600_000;
/** Names that may wait for a certificate. Visitors decide which, so there is a bound. */
const mostWanted = 256;

export interface CertificatesOptions {
  readonly config: Config["gateway"];
  readonly store: CertificateStore;
  readonly log: Logger;
}

export class Certificates implements PublicCertificates {
  readonly #options: CertificatesOptions;
  readonly #acme: NonNullable<Config["gateway"]["acme"]>;
  readonly #byHost = new Map<string, StoredCertificate>();
  readonly #proofs = new Map<string, PublicCertificate>();
  readonly #wanted = new Set<string>();
  readonly #failed = new Map<string, { again: number; pause: number }>();

  /** @param options.config has `acme` */
  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#acme = options.config.acme!;
    if (this.#acme.challenge === "dns-01")
      for (const name of this.#acme.names) this.#wanted.add(`${name}.${options.config.domain}`);
  }

  find(host: string): PublicCertificate | undefined {
    const found = this.#byHost.get(host) ?? this.#byHost.get(`*.${host.slice(host.indexOf(".") + 1)}`);
    // Names come and go. One that nobody visits any more is not renewed.
    if (this.#isByVisit(host) && this.#isDue(host, found) && this.#wanted.size < mostWanted) this.#wanted.add(host);
    return found !== undefined && found.notAfter > Date.now() ? found : undefined;
  }

  #challengeFor(host: string): "dns-01" | "tls-alpn-01" {
    return host.endsWith(`.${this.#options.config.domain}`) ? this.#acme.challenge : "tls-alpn-01";
  }

  /** Whether it gets a certificate of its own when it is visited. */
  #isByVisit(host: string): boolean {
    return this.#challengeFor(host) === "tls-alpn-01";
  }

  /** The hostname is nobody's any more: its certificate is removed, and not renewed. */
  async forget(host: string): Promise<void> {
    this.#wanted.delete(host);
    this.#byHost.delete(host);
    await this.#options.store.remove(host);
  }

  challenge(host: string): PublicCertificate | undefined {
    return this.#proofs.get(host);
  }

  /** When each certificate ends, milliseconds since the epoch. */
  ends(): ReadonlyMap<string, number> {
    return new Map([...this.#byHost].map(([host, { notAfter }]) => [host, notAfter]));
  }

  /** Reads what there is: another server of the same database may have renewed it. */
  async load(): Promise<void> {
    for (const stored of await this.#options.store.all()) {
      const known = this.#byHost.get(stored.host);
      // The same certificate stays the same object.
      if (known?.cert !== stored.cert) this.#byHost.set(stored.host, stored);
    }
  }

  /** Gets and renews what is due, one after the other. To be called regularly. A failure is logged, and tried again later. */
  async renew(signal: AbortSignal): Promise<void> {
    await this.load();
    for (const host of await this.#due()) {
      if (signal.aborted) return;
      await this.#obtain(host, signal);
    }
  }

  async #due(): Promise<string[]> {
    const now = Date.now();
    for (const [host, { again }] of this.#failed) if (again + longestPause < now) this.#failed.delete(host);
    for (const { host, notAfter } of this.#byHost.values()) {
      if (notAfter > now || !this.#isByVisit(host)) continue;
      this.#byHost.delete(host);
      await this.#options.store.remove(host);
    }
    const due = [...this.#wanted].filter((host) => this.#isDue(host, this.#byHost.get(host)));
    // Visitors want again what is still missing then.
    for (const host of this.#wanted) if (this.#isByVisit(host)) this.#wanted.delete(host);
    return due;
  }

  #isDue(host: string, stored: StoredCertificate | undefined): boolean {
    const now = Date.now();
    if ((this.#failed.get(host)?.again ?? 0) > now) return false;
    return stored === undefined || stored.notAfter - now < (stored.notAfter - stored.notBefore) * renewAt;
  }

  async #obtain(host: string, signal: AbortSignal): Promise<void> {
    const { store, log } = this.#options;
    const config = { ...this.#acme, challenge: this.#challengeFor(host) };
    try {
      const stored = await order({ config, store, host, proofs: this.#proofs, signal });
      await store.put(stored);
      this.#byHost.set(host, stored);
      this.#failed.delete(host);
      log.info({ notAfter: new Date(stored.notAfter).toISOString() }, "got a certificate");
    } catch (error) {
      const pause = Math.min(longestPause, (this.#failed.get(host)?.pause ?? firstPause / 2) * 2);
      this.#failed.set(host, { again: Date.now() + pause, pause });
      if (!signal.aborted) log.error({ err: error, retryInMs: pause }, "cannot get a certificate");
    }
  }
}
