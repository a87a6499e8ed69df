/**
 * Checkpoints of instances: after the first healthy start of a revision in a timeline, another instance is started, saved as soon as it
 * is quiet, and later ones go on from there. Without a checkpoint, and when one fails, instances start plainly.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { toCaissonError, type CheckpointInfo, type Config } from "@caisson/protocol";
import { launchPlainly, type Launch, type Launched } from "../launch.ts";
import { renewProgram } from "./hook.ts";
import { makeSeed } from "./seed.ts";
import { noteSchema, type CheckpointsOptions, type Note, type Subject } from "./subject.ts";

/** Milliseconds. The authority that is in its memory has a certificate for 400 days. */
const longestAge = 30 * 24 * 3600_000;
/** Seeds that failed one after the other, of one subject, before this process makes no more. */
const mostFailures = 2;
/** Milliseconds from a healthy start to that of the seed: the first visitors come first, and what is deleted at once needs none. */
const delay = 10_000;
/** Subjects that wait for their checkpoint. */
const mostWishes = 100;
const mostRemembered = 1000;

export class InstanceCheckpoints {
  readonly #options: CheckpointsOptions;
  readonly #wishes = new Map<string, Subject>();
  readonly #failures = new Map<string, number>();
  /** The one that is being made. */
  #making: { readonly id: string; readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  #closed = false;

  constructor(options: CheckpointsOptions) {
    this.#options = options;
  }

  /** Starts an instance from its checkpoint, and plainly when there is none that fits. */
  launch(subject: Subject): Launch {
    return async (options) => {
      const id = idOf(subject);
      const note = mayHave(subject, this.#options.config) ? await this.#find(id, subject) : undefined;
      if (note === undefined) return launchPlainly(options);
      try {
        return await resume(options, id, note);
      } catch (error) {
        const { code } = toCaissonError(error);
        // A plain start would fail as well.
        if (options.signal.aborted || code === "resource_exhausted") throw error;
        const { log, node, workloads } = this.#options;
        log.warn(
          { err: error, checkpoint: id },
          "an instance could not go on from its checkpoint; it is started plainly",
        );
        await node.checkpoints.remove(id);
        await workloads.kill(options.plan.id);
        await workloads.giveBack(options.plan.id);
        return launchPlainly(options);
      }
    };
  }

  /** After a healthy start: has a checkpoint made, unless there is one. Returns at once. */
  wish(subject: Subject): void {
    const id = idOf(subject);
    const failures = this.#failures.get(id) ?? 0;
    if (this.#closed || !mayHave(subject, this.#options.config) || failures >= mostFailures) return;
    if (this.#making?.id === id) return;
    // More than its share of checkpoints would only replace each other, and keep the wishes of others waiting.
    const own = [...this.#wishes.values()].filter(({ orgId }) => orgId === subject.orgId).length;
    const full = this.#wishes.size >= mostWishes || own >= this.#options.config.serving.checkpointsPerOrganisation;
    if (full && !this.#wishes.has(id)) return;
    this.#wishes.set(id, subject);
    this.#next();
  }

  #next(): void {
    const [first] = this.#wishes;
    if (this.#making !== undefined || this.#closed || first === undefined) return;
    const [id, subject] = first;
    this.#wishes.delete(id);
    const abort = new AbortController();
    const done = this.#make(id, subject, abort.signal).finally(() => {
      this.#making = undefined;
      this.#next();
    });
    this.#making = { id, abort, done };
  }

  async #make(id: string, subject: Subject, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    try {
      await sleep(delay, undefined, { signal });
      if ((await this.#find(id, subject)) !== undefined) return;
      await this.#makeRoom(subject.orgId);
      const began = performance.now();
      const { bytes } = await makeSeed(this.#options, { id, subject, digest: digestOf(subject), signal });
      this.#failures.delete(id);
      log.info(
        { checkpoint: id, bytes, milliseconds: Math.round(performance.now() - began) },
        "instances of a revision go on from a checkpoint from now on",
      );
    } catch (error) {
      if (signal.aborted) return;
      if (this.#failures.size >= mostRemembered) this.#failures.clear();
      this.#failures.set(id, (this.#failures.get(id) ?? 0) + 1);
      log.info({ checkpoint: id, why: toCaissonError(error).message }, "no checkpoint of a revision was made");
    }
  }

  /** A checkpoint with the same environment, program and secrets as the subject. Others are removed. */
  async #find(id: string, subject: Subject): Promise<Note | undefined> {
    const { checkpoints } = this.#options.node;
    const found = await checkpoints.find(id);
    if (found === undefined) return undefined;
    const note = readNote(found.note);
    if (note?.digest === digestOf(subject) && !isOld(found)) return note;
    await checkpoints.remove(id);
    return undefined;
  }

  /** For one more: those that were not used for the longest time go. An organisation that has its share gives one of its own. */
  async #makeRoom(orgId: string): Promise<void> {
    const { node, config } = this.#options;
    const { checkpoints: most, checkpointsPerOrganisation: share } = config.serving;
    const own = (await node.checkpoints.list()).filter(({ note }) => readNote(note)?.orgId === orgId);
    for (const { id } of leastUsed(own, share - 1)) await node.checkpoints.remove(id);
    await this.#keep(most - 1);
  }

  /** Removes those that were not used for the longest time, so that no more than `most` remain. */
  async #keep(most: number): Promise<void> {
    const { checkpoints } = this.#options.node;
    for (const { id } of leastUsed(await checkpoints.list(), most)) await checkpoints.remove(id);
  }

  /** Removes that of a subject which may have none any more. Idempotent. */
  async drop(subject: Pick<Subject, "revisionId" | "timeline">): Promise<void> {
    await this.#options.node.checkpoints.remove(idOf(subject));
  }

  /** Removes those of a revision, and makes no more of it. Idempotent. */
  async remove(revisionId: string): Promise<void> {
    const { node } = this.#options;
    for (const id of this.#wishes.keys()) if (isOf(id, revisionId)) this.#wishes.delete(id);
    const making = this.#making;
    if (making !== undefined && isOf(making.id, revisionId)) {
      making.abort.abort();
      await making.done;
    }
    for (const { id } of await node.checkpoints.list()) if (isOf(id, revisionId)) await node.checkpoints.remove(id);
  }

  /** Removes those of revisions that are gone, and those that are too old or too many. @param exists whether a revision has files */
  async prune(exists: (revisionId: string) => Promise<boolean>): Promise<void> {
    const { node, config } = this.#options;
    for (const found of await node.checkpoints.list())
      if (isOld(found) || !(await exists(found.id.slice(0, found.id.indexOf("-")))))
        await node.checkpoints.remove(found.id);
    // The configuration of the process that made them may have allowed more.
    await this.#keep(config.serving.checkpoints);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#making?.abort.abort();
    await this.#making?.done;
  }
}

/** Programs of Node.js start plainly: OpenSSL keeps random numbers in its memory that nobody outside can renew. */
function mayHave({ plan, program }: Subject, { serving }: Pick<Config, "serving">): boolean {
  return serving.checkpoints > 0 && plan.checkpoint === undefined && program.command === "deno";
}

async function resume({ plan, workloads, signal }: Parameters<Launch>[0], id: string, note: Note): Promise<Launched> {
  const { agent } = await workloads.start({ ...plan, checkpoint: { id, use: "resume" } }, signal);
  await renewProgram(agent, note.hook);
  return { agent, pid: note.pid, stdout: BigInt(note.stdout), stderr: BigInt(note.stderr), port: note.port };
}

function readNote(text: string): Note | undefined {
  try {
    return noteSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function idOf({ revisionId, timeline }: Pick<Subject, "revisionId" | "timeline">): string {
  return `${revisionId}-${createHash("sha256").update(timeline).digest("hex").slice(0, 16)}`;
}

function isOld({ madeAt }: CheckpointInfo): boolean {
  // oxlint-disable-next-line no-restricted-properties -- Ages go on while no process runs.
  return Date.now() - madeAt >= longestAge;
}

/** Those of `all` that have to go for no more than `most` to remain. */
function leastUsed(all: readonly CheckpointInfo[], most: number): readonly CheckpointInfo[] {
  return all.toSorted((a, b) => a.usedAt - b.usedAt).slice(0, Math.max(0, all.length - most));
}

function isOf(id: string, revisionId: string): boolean {
  return id.startsWith(`${revisionId}-`);
}

/** Of what a program has in its memory, and of the machine. Values of secrets are not in it: the program has placeholders. */
function digestOf({ plan, program }: Subject): string {
  const { env, egress, memory, vcpus, images } = plan;
  const placeholders = egress.secrets.map(({ name, placeholder }) => [name, placeholder]);
  const variables = Object.entries(env).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const parts = { variables, placeholders, authority: egress.authority, program, memory, vcpus, images };
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}
