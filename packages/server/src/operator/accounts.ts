/** What an operator does to organisations and tokens from a terminal, also while servers run on the database. */
import type { Logger } from "pino";
import { openDatabase } from "../kernel/database/open.ts";
import { Accounts } from "../orgs/accounts.ts";
import { migrations } from "../slices.ts";

export interface AccountOperatorOptions {
  readonly home: string;
  readonly databaseUrl?: string | undefined;
  readonly log: Logger;
}

export interface AccountOperator {
  readonly accounts: Accounts;
  close(): Promise<void>;
}

/** @throws CaissonError `unavailable` when the database cannot be opened */
export async function openAccountOperator({
  home,
  databaseUrl,
  log,
}: AccountOperatorOptions): Promise<AccountOperator> {
  const db = await openDatabase({ home, url: databaseUrl, migrations, log });
  return { accounts: new Accounts(db), close: () => db.destroy() };
}
