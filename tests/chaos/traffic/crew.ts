/** The client processes of a run, from outside: what they say goes into the history. */
import { fork, type ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { until, within } from "@caisson/testing";
import type { History } from "../model/history.ts";
import type { FromClient, ToClient } from "./messages.ts";

interface Member {
  readonly name: string;
  process: ChildProcess;
  started: Promise<void>;
}

export class Crew {
  readonly #history: History;
  readonly #members: Member[] = [];

  readonly #log: number;

  /** @param log file for what the client library prints about broken connections */
  constructor(history: History, names: readonly string[], log: string) {
    this.#history = history;
    this.#log = openSync(log, "a");
    for (const name of names) this.#members.push(this.#start({ name } as Member));
  }

  get names(): readonly string[] {
    return this.#members.map(({ name }) => name);
  }

  pid(name: string): number {
    return this.#member(name).process.pid ?? 0;
  }

  /** Lets all work. Those that were killed have been replaced. */
  async begin(seed: string, environment: Readonly<Record<string, string>>): Promise<void> {
    await Promise.all(this.#members.map(({ name }) => this.#begin(name, seed, environment)));
  }

  async #begin(name: string, seed: string, environment: Readonly<Record<string, string>>): Promise<void> {
    const member = this.#member(name);
    await within(15_000, `the start of client ${name}`, member.started);
    const known = this.#history.model.known(name);
    this.#send(member, { type: "begin", seed, known, environment });
  }

  /** Waits until every call of every client has its answer. @param limit milliseconds */
  async pause(limit: number): Promise<void> {
    await Promise.all(
      this.#members.map(async (member) => {
        const { process, name } = member;
        const paused = Promise.withResolvers<void>();
        const ended = () => paused.resolve();
        const heard = ({ type }: FromClient) => type === "paused" && ended();
        process.on("message", heard).once("exit", ended);
        this.#send(member, { type: "pause" });
        try {
          await within(limit, `the last answers to client ${name}`, paused.promise);
        } finally {
          process.off("message", heard).off("exit", ended);
        }
      }),
    );
  }

  /** Kills one with SIGKILL and starts another of its name, which goes on with what it left. */
  async replace(name: string, seed: string, environment: Readonly<Record<string, string>>): Promise<void> {
    const member = this.#member(name);
    const ended = new Promise((resolve) => member.process.once("exit", resolve));
    member.process.kill("SIGKILL");
    await within(5_000, `the end of client ${name}`, ended);
    this.#history.add({ type: "client-killed", client: name });
    this.#start(member);
    await this.#begin(name, seed, environment);
  }

  async close(): Promise<void> {
    for (const { process } of this.#members) process.kill("SIGKILL");
    await until(5_000, "the end of the clients", () =>
      this.#members.every(({ process }) => process.exitCode !== null || process.signalCode !== null),
    );
    closeSync(this.#log);
  }

  #member(name: string): Member {
    const found = this.#members.find((member) => member.name === name);
    if (found === undefined) throw new Error(`There is no client ${name}.`);
    return found;
  }

  #start(member: Member): Member {
    const child = fork(join(import.meta.dirname, "client.ts"), [member.name], {
      stdio: ["ignore", this.#log, this.#log, "ipc"],
    });
    member.process = child;
    member.started = new Promise((resolve, reject) => {
      child.once("message", () => resolve());
      child.once("exit", () => reject(new Error(`Client ${member.name} ended.`)));
    });
    member.started.catch(() => undefined);
    child.on("error", () => undefined);
    child.on("message", (message: FromClient) => {
      if (message.type === "started" || message.type === "paused") return;
      this.#history.add({ ...message, client: member.name });
    });
    return member;
  }

  #send({ process }: Member, message: ToClient): void {
    process.send(message, () => undefined);
  }
}
