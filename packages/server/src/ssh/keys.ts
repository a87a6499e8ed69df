/** Keys that an organisation asks SSH clients for. With none, user names suffice. */
import type { SshKeyInfo } from "@caisson/api";
import { CaissonError, type SshAllowedKey, type SshGateway } from "@caisson/protocol";
import { randomText } from "../kernel/random-text.ts";
import type { AuditRecord } from "../audit/index.ts";
import { sshEvent } from "./audit-event.ts";
import type { SshKeyStore } from "./key-store.ts";

/** Of one organisation. */
const maxKeys = 100;
/** Of ids. Other texts are nobody's; PostgreSQL refuses some of them, such as NUL. */
const idPattern = /^sshkey_[0-9A-Za-z]{20}$/;

export interface SshKeysOptions {
  readonly store: SshKeyStore;
  /** Absent: this server has no SSH. */
  readonly gateway: SshGateway | undefined;
  readonly audit: { record(orgId: string, event: AuditRecord): void };
}

export class SshKeys {
  readonly #options: SshKeysOptions;
  /** By id: of keys that logins have asked for. */
  readonly #removed = new Map<string, AbortController>();

  constructor(options: SshKeysOptions) {
    this.#options = options;
  }

  /** @throws CaissonError `invalid_argument`, `already_exists`, `resource_exhausted`, `unsupported` */
  async add(
    orgId: string,
    { name, publicKey }: { readonly name: string; readonly publicKey: string },
  ): Promise<SshKeyInfo> {
    const { store, gateway } = this.#options;
    if (gateway === undefined) throw new CaissonError("unsupported", "This server has no SSH: it is turned off.");
    const read = gateway.readKey(publicKey);
    if ((await store.of(orgId)).length >= maxKeys)
      throw new CaissonError("resource_exhausted", `An organisation can have ${maxKeys} SSH keys. Remove one of them.`);
    const key = { ...read, id: `sshkey_${randomText(20)}`, name, createdAt: new Date().toISOString() };
    if (!(await store.insert(orgId, key)))
      throw new CaissonError("already_exists", `The key ${key.fingerprint} is registered already.`);
    this.#record(orgId, "ssh-key-added", key);
    return key;
  }

  list(orgId: string): Promise<SshKeyInfo[]> {
    return this.#options.store.of(orgId);
  }

  /** Connections that logged in with it end. @throws CaissonError `not_found` */
  async remove(orgId: string, id: string): Promise<void> {
    const key = idPattern.test(id) ? await this.#options.store.remove(orgId, id) : undefined;
    if (key === undefined)
      throw new CaissonError("not_found", `There is no SSH key ${id.slice(0, 100)}. GET /api/v1/ssh/keys lists them.`);
    this.#end(id);
    this.#record(orgId, "ssh-key-removed", key);
  }

  /** Undefined: the organisation has none. */
  async allowed(orgId: string): Promise<readonly SshAllowedKey[] | undefined> {
    const keys = await this.#options.store.of(orgId);
    if (keys.length === 0) return undefined;
    return keys.map(({ id, publicKey, fingerprint }) => ({ publicKey, fingerprint, removed: this.#removalOf(id) }));
  }

  /** Ends the connections of keys that another server on this database has removed. */
  async compare(): Promise<void> {
    const known = [...this.#removed.keys()];
    if (known.length === 0) return;
    const left = await this.#options.store.existing(known);
    for (const id of known) if (!left.has(id)) this.#end(id);
  }

  #removalOf(id: string): AbortSignal {
    const known = this.#removed.get(id) ?? new AbortController();
    this.#removed.set(id, known);
    return known.signal;
  }

  #end(id: string): void {
    this.#removed.get(id)?.abort();
    this.#removed.delete(id);
  }

  #record(orgId: string, rule: string, { id, name, fingerprint }: SshKeyInfo): void {
    const detail = `${id} ${fingerprint} ${name}`;
    this.#options.audit.record(orgId, sshEvent({ at: Date.now(), rule, detail }));
  }
}
