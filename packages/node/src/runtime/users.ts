/** Unprivileged users for monitors: one per machine, so that a compromised monitor has no access to other machines. */

/** Above the ids that distributions, directory services or user namespaces use. */
const firstUid = 1_900_000_000;
const count = 100_000;

/** Undefined when we are not root: then every monitor runs as our own user, inside a user name space. */
export class MonitorUsers {
  readonly #taken = new Set<number>();
  #next = Math.floor(Math.random() * count);

  take(): number | undefined {
    if (process.getuid?.() !== 0) return undefined;
    do this.#next = (this.#next + 1) % count;
    while (this.#taken.has(firstUid + this.#next));
    const uid = firstUid + this.#next;
    this.#taken.add(uid);
    return uid;
  }

  /** Marks the user of an adopted machine as taken. */
  reserve(uid: number | undefined): void {
    if (uid !== undefined) this.#taken.add(uid);
  }

  give(uid: number | undefined): void {
    if (uid !== undefined) this.#taken.delete(uid);
  }
}
