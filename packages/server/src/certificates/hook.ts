/** The operator's program that publishes DNS records. */
import { execFile } from "node:child_process";
import process from "node:process";
import { CaissonError } from "@caisson/protocol";

/** Milliseconds until it must have ended. DNS servers can take minutes to agree. */
const deadline = 10 * 60_000;

/** @throws CaissonError `unavailable` when it fails, with the end of what it wrote */
export async function runHook(
  program: string,
  action: "present" | "cleanup",
  record: { readonly name: string; readonly value: string },
  signal: AbortSignal,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    // Nothing of our environment, which may hold secrets, but what programs need to run.
    const env = { PATH: process.env["PATH"], HOME: process.env["HOME"], LANG: "C.UTF-8" };
    const options = { timeout: deadline, killSignal: "SIGKILL" as const, signal, env, maxBuffer: 1 << 20 };
    execFile(program, [action, record.name, record.value], options, (cause, stdout, stderr) => {
      if (cause === null) return resolve();
      const said = `${stdout}${stderr}`.trim().slice(-500);
      const message = `gateway.acme.dnsHook failed at \`${action} ${record.name}\`: ${said === "" ? cause.message : said}`;
      reject(new CaissonError("unavailable", message, { cause }));
    });
  });
}
