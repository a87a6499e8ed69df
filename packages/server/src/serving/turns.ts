/**
 * Whose turn is next among several with weights: smooth weighted round robin, as nginx has it. So each gets exactly its part of every
 * `sum of weights` turns, spread evenly, and nothing is left to chance.
 */
export interface Weighted {
  readonly id: string;
  readonly weight: number;
}

export class Turns {
  #among = "";
  #credit = new Map<string, number>();

  /** @param all with weights above 0; another set or other weights begin anew */
  next(all: readonly Weighted[]): string {
    const among = all.map(({ id, weight }) => `${id} ${weight}`).join();
    if (among !== this.#among) {
      this.#among = among;
      this.#credit = new Map();
    }
    let best: string | undefined;
    let sum = 0;
    for (const { id, weight } of all) {
      const credit = (this.#credit.get(id) ?? 0) + weight;
      this.#credit.set(id, credit);
      sum += weight;
      if (best === undefined || credit > this.#credit.get(best)!) best = id;
    }
    this.#credit.set(best!, this.#credit.get(best!)! - sum);
    return best!;
  }
}
