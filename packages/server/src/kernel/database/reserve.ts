/** Keeps the reserve beside the database at its size: what was given back in need is taken again when there is room. */
import { rm } from "node:fs/promises";
import type { Kysely } from "kysely";
import type { Logger } from "pino";
import { takeReserve } from "./sqlite/reserve-file.ts";

export { withReserve } from "./sqlite/reserve-file.ts";

/** Milliseconds. */
const interval = 30_000;

/** @param bytes 0 removes it */
export async function keepReserve<T>(db: Kysely<T>, path: string, bytes: number, log: Logger): Promise<Kysely<T>> {
  if (bytes === 0) {
    await rm(path, { force: true });
    return db;
  }
  let whole: boolean | undefined;
  const take = async () => {
    const before = whole;
    whole = await takeReserve(path, bytes).catch((error: unknown) => {
      log.warn({ err: error }, "the reserve of the database cannot be taken");
      return false;
    });
    if (!whole && before !== false) log.warn({ path, bytes }, "the disk has no room for the reserve of the database");
    if (whole && before === false) log.info("the reserve of the database has its full size again");
  };
  await take();
  const timer = setInterval(() => void take(), interval);
  timer.unref();
  const destroy = db.destroy.bind(db);
  db.destroy = async () => {
    clearInterval(timer);
    await destroy();
  };
  return db;
}
