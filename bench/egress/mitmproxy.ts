/** mitmproxy, for comparison, when `MITMDUMP` names its program. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as tlsConnect, type TLSSocket } from "node:tls";

export interface Mitmproxy {
  readonly pid: number;
  connect(): Promise<TLSSocket>;
  close(): Promise<void>;
}

/** @param upstreamCa PEM of the authority that signs the host; @param target where the host listens */
export async function startMitmproxy(program: string, upstreamCa: string, target: number): Promise<Mitmproxy> {
  const directory = await mkdtemp(join(tmpdir(), "caisson-mitmproxy-"));
  const ca = join(directory, "upstream.pem");
  await writeFile(ca, upstreamCa);
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  // `127.0.0.1` is asked for, and `api.test` is the name in TLS; bodies are streamed, as ours are.
  const child = spawn(
    program,
    [
      "-q",
      "--listen-host",
      "127.0.0.1",
      "-p",
      String(port),
      "--set",
      `confdir=${directory}`,
      "--set",
      `ssl_verify_upstream_trusted_ca=${ca}`,
      "--set",
      "stream_large_bodies=64k",
      "--set",
      "http2=false",
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const close = async (): Promise<void> => {
    const ended = once(child, "exit");
    child.kill();
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  const dial = async (): Promise<Socket> => {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.write(`CONNECT 127.0.0.1:${target} HTTP/1.1\r\nHost: 127.0.0.1:${target}\r\n\r\n`);
    const [answer] = (await once(socket, "data")) as [Buffer];
    if (!answer.toString().startsWith("HTTP/1.1 200")) throw new Error(answer.toString());
    return socket;
  };
  for (let tries = 0; ; tries++) {
    try {
      (await dial()).destroy();
      break;
    } catch (error) {
      if (tries > 100) throw error;
      await sleep(200);
    }
  }
  const trusted = await readFile(join(directory, "mitmproxy-ca-cert.pem"), "utf8");
  return {
    pid: child.pid!,
    async connect() {
      const socket = tlsConnect({
        socket: await dial(),
        servername: "api.test",
        ca: trusted,
        ALPNProtocols: ["http/1.1"],
      });
      await once(socket, "secureConnect");
      return socket;
    },
    close,
  };
}
