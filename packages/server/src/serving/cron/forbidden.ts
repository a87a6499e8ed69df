/** Apps with `crons: false`: a revision of theirs that registers cron jobs fails. */
import type { AppConfig } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import type { RevisionRow } from "../../revisions/index.ts";
import type { Instance } from "../instance.ts";
import { listJobs } from "./guest.ts";

export function cronsAllowed({ config }: Pick<RevisionRow, "config">): boolean {
  return (JSON.parse(config) as AppConfig).crons !== false;
}

/** @throws CaissonError `invalid_argument` when the program of an instance that listens has registered jobs */
export async function requireNoJobs(instance: Pick<Instance, "connectUnix">, socket?: string): Promise<void> {
  // No answer: it has none, or is no program of Deno.
  const jobs = await listJobs(instance, socket).catch(() => []);
  if (jobs.length > 0)
    throw new CaissonError(
      "invalid_argument",
      `The program registers cron jobs (${jobs.map(({ name }) => name).join(", ")}), but the app has \`crons: false\`. Remove the jobs, or allow them.`,
    );
}
