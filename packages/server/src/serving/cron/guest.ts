/** Asks the prelude in an instance for its cron jobs, and runs them. It belongs to the guest, so everything it says is bounded. */
import { request } from "node:http";
import type { Duplex } from "node:stream";
import { CaissonError } from "@caisson/protocol";
import { z } from "zod";
import type { Instance } from "../instance.ts";
import { cronSocket } from "./prelude.ts";

const mostBytes = 64 * 1024;
/** Milliseconds for the list. */
const listTimeout = 10_000;

const job = z.object({
  name: z.string().regex(/^[\w\s-]{1,64}$/),
  schedule: z.string().min(1).max(500),
  /** Milliseconds, at most an hour, as Deno allows. */
  backoffSchedule: z.array(z.int().min(0).max(3_600_000)).max(5).optional(),
});
const jobs = z.array(job).max(100);
const outcome = z.union([
  z.object({ ok: z.literal(true) }),
  z.object({ ok: z.literal(false), message: z.string().max(2000) }),
]);

export type GuestJob = z.infer<typeof job>;

/** @throws when it has none, or is no program of Deno */
export async function listJobs(instance: Pick<Instance, "connectUnix">, socket = cronSocket): Promise<GuestJob[]> {
  return jobs.parse(await ask(instance, socket, "GET", undefined, AbortSignal.timeout(listTimeout)));
}

/** @throws CaissonError `guest_error` why it failed, the reason of the signal */
export async function runJob(
  instance: Pick<Instance, "connectUnix">,
  name: string,
  signal: AbortSignal,
  socket = cronSocket,
): Promise<void> {
  const answer = outcome.safeParse(await ask(instance, socket, "POST", JSON.stringify(name), signal));
  if (!answer.success) throw new CaissonError("guest_error", "The program's answer is not understood.");
  if (!answer.data.ok) throw new CaissonError("guest_error", answer.data.message);
}

async function ask(
  instance: Pick<Instance, "connectUnix">,
  socket: string,
  method: string,
  body: string | undefined,
  signal: AbortSignal,
): Promise<unknown> {
  signal.throwIfAborted();
  const stream: Duplex = await instance.connectUnix(socket);
  try {
    const text = await new Promise<string>((resolve, reject) => {
      const failed = (cause: unknown) => {
        reject(
          signal.aborted
            ? signal.reason
            : new CaissonError("guest_error", "The program ended while it ran.", { cause }),
        );
      };
      const sent = request(
        { method, path: "/", headers: { host: "cron" }, createConnection: () => stream, maxHeaderSize: 8192, signal },
        (response) => {
          let got = "";
          response.setEncoding("utf8").on("data", (part: string) => {
            got += part;
            if (got.length > mostBytes) response.destroy(new Error("Its answer is too long."));
          });
          response.on("error", failed);
          response.on("end", () => resolve(got));
        },
      );
      sent.on("error", failed).end(body);
      stream.once("close", () => failed(undefined));
    });
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new CaissonError("guest_error", "The program's answer is not understood.", { cause: error });
    throw error;
  } finally {
    stream.destroy();
  }
}
