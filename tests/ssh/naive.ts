/** An SSH server without any defence, of the same library and over programs of this host: what attacks can do where nothing stops them. */
import { spawn } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import ssh2 from "ssh2";
import type { Target } from "./attacks.ts";

export interface NaiveServer extends Target {
  close(): void;
}

export async function naiveServer(): Promise<NaiveServer> {
  const ends = new Set<() => void>();
  const ssh = new ssh2.Server({ hostKeys: [ssh2.utils.generateKeyPairSync("ed25519").private] }, (client) => {
    client.on("error", () => undefined).setMaxListeners(0);
    client.on("authentication", (context) => context.accept());
    client.on("session", (accept) =>
      accept().on("exec", (start, _reject, { command }) => {
        const channel = start();
        const child = spawn("bash", ["-c", command], { stdio: ["pipe", "pipe", "ignore"] });
        const kill = () => void child.kill("SIGKILL");
        ends.add(kill);
        client.once("close", kill);
        for (const stream of [channel, child.stdin, child.stdout]) stream.on("error", () => undefined);
        channel.pipe(child.stdin);
        child.stdout.pipe(channel);
      }),
    );
  });
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    ends.add(() => socket.destroy());
    ssh.injectSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    username: "anybody",
    close: () => {
      server.close();
      for (const end of ends) end();
    },
  };
}
