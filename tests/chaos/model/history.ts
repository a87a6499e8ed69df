/** The history of a run: kept in a file as it happens, and applied to the model at once. */
import { appendFileSync, readFileSync } from "node:fs";
import type { Event, Happening } from "./events.ts";
import { Model } from "./model.ts";

export class History {
  readonly model = new Model();
  readonly #path: string;

  /** @param path of the file, one event in JSON a line */
  constructor(path: string) {
    this.#path = path;
  }

  add(happening: Happening): void {
    const event: Event = { at: Date.now(), ...happening };
    appendFileSync(this.#path, `${JSON.stringify(event)}\n`);
    this.model.apply(event);
  }
}

export function readHistory(path: string): readonly Event[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Event);
}
