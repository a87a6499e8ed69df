/** Waiting that has a limit, for work that goes on all the same. */

/** @returns whether `work` was done in time. It goes on otherwise */
export async function within(milliseconds: number, work: Promise<unknown>): Promise<boolean> {
  const timer = Promise.withResolvers<boolean>();
  const timeout = setTimeout(() => timer.resolve(false), milliseconds);
  return Promise.race([work.then(() => true), timer.promise]).finally(() => clearTimeout(timeout));
}
