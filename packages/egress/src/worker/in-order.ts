/** Runs steps of the same key, such as those of one sandbox, one after the other. */

/** Begins a step when those of the same key that were asked for earlier have ended, however they ended. */
export type InOrder = <T>(key: string, step: () => Promise<T>) => Promise<T>;

export function createInOrder(): InOrder {
  const last = new Map<string, Promise<void>>();
  return async (key, step) => {
    const before = last.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    last.set(key, promise);
    try {
      await before;
      return await step();
    } finally {
      if (last.get(key) === promise) last.delete(key);
      resolve();
    }
  };
}
