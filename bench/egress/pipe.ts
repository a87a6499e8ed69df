/**
 * The least that any interception costs: ends the guest's TLS, begins its own to the host, and reads nothing of what it
 * carries between them. In a process of its own, on the machine's port, as a worker is.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { performServerHandshake } from "node:http2";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect, createSecureContext, TLSSocket } from "node:tls";
import { upstreamAuthority } from "../../packages/egress/src/testing/harness.ts";
import { Guest } from "../../packages/egress/src/testing/guest.ts";
import { connectPort } from "@caisson/guest-port";

interface Task {
  readonly path: string;
  readonly port: number;
  readonly ca: string;
  readonly identity: { readonly cert: string; readonly key: string };
}

export interface Pipe {
  readonly guest: Guest;
  readonly pid: number;
  close(): Promise<void>;
}

/** @param port where the host listens */
export async function startPipe(port: number): Promise<Pipe> {
  const directory = await mkdtemp(join(tmpdir(), "caisson-pipe-"));
  const path = join(directory, "egress.sock");
  const guest = await Guest.listen(path);
  guest.ca = upstreamAuthority.certificatePem;
  const child = fork(import.meta.filename, { execArgv: ["--max-semi-space-size=1", "--single-threaded-gc"] });
  const identity = await upstreamAuthority.issue(["api.test"]);
  child.send({ path, port, ca: guest.ca, identity } satisfies Task);
  return {
    guest,
    pid: child.pid!,
    async close() {
      child.disconnect();
      await once(child, "exit");
      await guest.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function serve({ path, port, ca, identity }: Task): Promise<void> {
  const secureContext = createSecureContext(identity);
  const session = performServerHandshake(await connectPort(path, { signal: new AbortController().signal }), {
    settings: { initialWindowSize: 256 * 1024 },
  });
  session.on("stream", (stream) => {
    stream.respond({ ":status": 200 });
    const guest = new TLSSocket(stream, { isServer: true, secureContext, ALPNProtocols: ["http/1.1"] });
    const host = tlsConnect({ port, host: "127.0.0.1", servername: "api.test", ca });
    guest.on("error", () => host.destroy()).pipe(host);
    host.on("error", () => guest.destroy()).pipe(guest);
  });
}

if (process.argv[1] === import.meta.filename) {
  process.once("message", (task: Task) => void serve(task));
  process.once("disconnect", () => process.exit(0));
}
