/** What the commands of operators share. */
import { toCaissonError, CaissonError } from "@caisson/protocol";
import { openAccountOperator } from "@caisson/server/operator";
import { pino } from "pino";
import { existingHome } from "./home.ts";

export type Accounts = Awaited<ReturnType<typeof openAccountOperator>>["accounts"];

/**
 * Runs a command on the accounts of the installation, and sets the exit status: 1 when it failed, 2 when it was not understood.
 * @param run returns false when it does not understand its arguments
 */
export async function withAccounts(usage: string, run: (accounts: Accounts) => Promise<boolean>): Promise<void> {
  try {
    const operator = await openAccountOperator({
      home: await existingHome(),
      databaseUrl: process.env["DATABASE_URL"],
      log: pino({ level: "silent" }),
    });
    try {
      if (await run(operator.accounts)) return;
      console.error(usage);
      process.exitCode = 2;
    } finally {
      await operator.close();
    }
  } catch (error) {
    console.error(toCaissonError(error).message);
    process.exitCode = 1;
  }
}

const units = { s: 1_000, m: 60_000, h: 3600_000, d: 24 * 3600_000 } as const;

/** @returns milliseconds of `30m`, `12h` or `90d` @throws CaissonError `invalid_argument` */
export function duration(text: string): number {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (amount === undefined || Number(amount) === 0)
    throw new CaissonError(
      "invalid_argument",
      `\`${text}\` is not a duration. Write a number with s, m, h or d, such as 90d.`,
    );
  return Number(amount) * units[unit as keyof typeof units];
}
