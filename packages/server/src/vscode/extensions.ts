/** Installs extensions before the editor starts: by id from its marketplace, or from a file in the sandbox. */
import type { Readable } from "node:stream";
import { CaissonError } from "@caisson/protocol";
import type { Call } from "../rpc/index.ts";
import { program } from "./place.ts";

/** For all extensions together, milliseconds. */
const deadline = 300_000;
/** End of the output that an error repeats, characters. */
const repeatedCharacters = 600;

/**
 * @param extensions checked: none begins with a hyphen
 * @param own arguments that name the editor's folders
 * @throws CaissonError `guest_error` with the end of the editor's output, `timeout`
 */
export async function installExtensions(
  extensions: readonly string[],
  own: readonly string[],
  { agent, signal }: Call,
): Promise<void> {
  const args = [...own, ...extensions.flatMap((extension) => ["--install-extension", extension])];
  // One output for both, in the order in which they were written.
  const { pid, stdoutStream } = await agent.processes.spawn(
    { command: "/bin/sh", args: ["-c", 'NODE_NO_WARNINGS=1 exec "$0" "$@" 2>&1', program, ...args], stdout: true },
    { signal },
  );
  const ended = AbortSignal.any([signal, AbortSignal.timeout(deadline)]);
  const output = agent.readStream(stdoutStream);
  try {
    const [{ code }, report] = await Promise.all([
      agent.processes.wait({ pid }, { signal: ended }),
      endOf(output, ended),
    ]);
    if (code !== 0) throw new CaissonError("guest_error", notInstalled(extensions, report));
  } catch (error) {
    await agent.processes.kill({ pid, signal: "SIGKILL" }).catch(() => undefined);
    if (!ended.aborted || signal.aborted) throw error;
    throw new CaissonError("timeout", `Installing extensions took longer than ${deadline / 1000} s.`, { cause: error });
  } finally {
    output.destroy();
  }
}

/**
 * What an error says. A connection that the network policy refuses ends with an alert of TLS (RFC 8446 6.2, `access_denied`), which means nothing
 * to most people.
 * @param report the end of the editor's output
 */
export function notInstalled(extensions: readonly string[], report: string): string {
  const cause = /alert (number 49|access denied)/i.test(report)
    ? "The network policy of this sandbox refuses the marketplace: allow open-vsx.org and the hosts that it refers to, or give the path of a .vsix file in the sandbox."
    : "Ids come from the marketplace, which the sandbox must reach (open-vsx.org and the hosts that it refers to); a path must be that of a .vsix file in the sandbox.";
  return `VS Code could not install ${extensions.join(", ").slice(0, repeatedCharacters)}. ${cause} VS Code reported: ${report}`;
}

/** The end of an output, for people. */
async function endOf(output: Readable, signal: AbortSignal): Promise<string> {
  const stop = () => output.destroy();
  signal.addEventListener("abort", stop, { once: true });
  let text = "";
  try {
    for await (const chunk of output as AsyncIterable<Buffer>)
      text = (text + chunk.toString("latin1")).slice(-repeatedCharacters);
  } catch {
    // What was read so far is enough for the error.
  } finally {
    signal.removeEventListener("abort", stop);
  }
  return text.replaceAll(/[^\x20-\x7e]+/g, " ").trim();
}
