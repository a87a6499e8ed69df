/**
 * Attacks on an SSH server by clients of the SSH library, before and after a login. Each reports what it achieved, so that it can be seen
 * to succeed where nothing defends.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import ssh2, { type Client, type ClientChannel } from "ssh2";

const MiB = 2 ** 20;

/** A server in this process, whose memory is measured. */
export interface Target {
  readonly port: number;
  readonly username: string;
}

export interface SshAttack {
  readonly name: string;
  /** @returns what it achieved; undefined: nothing. @param from an address of this host that nobody else uses */
  readonly run: (target: Target, from: string) => Promise<string | undefined>;
}

/** Far more than the defence needs, milliseconds: without one the attack succeeds at the end of it. */
const patience = 60_000;

export const sshAttacks: readonly SshAttack[] = [
  {
    name: "connections that are silent, slow, or stop before the login hold their places",
    async run(target, from) {
      const [silent, slow, halfway] = [raw(target, from), raw(target, from), raw(target, from)];
      const trickle = setInterval(() => slow.write("S"), 100);
      halfway.write("SSH-2.0-x\r\n");
      const sockets = [silent, slow, halfway].map((socket) => socket.resume());
      await Promise.race([Promise.all(sockets.map(closed)), sleep(patience)]);
      clearInterval(trickle);
      const held = sockets.filter((socket) => !socket.destroyed).length;
      for (const socket of sockets) socket.destroy();
      return held === 0 ? undefined : `${held} of 3 held for ${patience / 1000} s`;
    },
  },
  {
    name: "one address is served without ever logging in",
    async run(target, from) {
      let served = 0;
      for (let at = 0; at < 100; at++) {
        const socket = raw(target, from);
        const [data] = (await once(socket, "data")) as [Buffer];
        if (String(data).startsWith("SSH-2.0")) served++;
        socket.destroy();
      }
      return served === 100 ? "100 of 100" : undefined;
    },
  },
  {
    name: "one user has as many programs as it likes",
    async run(target, from) {
      const clients = await Promise.all([login(target, from), login(target, from)]);
      const opened = await Promise.all(
        Array.from({ length: 100 }, (_, at) => exec(clients[at % 2]!.client, "sleep 600").catch(() => undefined)),
      );
      for (const { client } of clients) client.destroy();
      const count = opened.filter((channel) => channel !== undefined).length;
      return count === 100 ? "100 of 100" : undefined;
    },
  },
  {
    name: "a client sends what the window of a channel does not allow",
    async run(target, from) {
      const { client, socket } = await login(target, from);
      const channel = await exec(client, "sleep 600");
      channel.on("error", () => undefined);
      (channel as unknown as { outgoing: { window: number } }).outgoing.window = 2 ** 31;
      const ended = closed(socket);
      // Not in pieces that fill the window exactly: then the library drops the rest by itself.
      for (let at = 0; at < 600; at++) channel.write(Buffer.alloc(30_001));
      const cut = await Promise.race([ended.then(() => true), sleep(patience, false)]);
      client.destroy();
      return cut ? undefined : "18 MB were taken";
    },
  },
  {
    name: "a client makes the server keep what it does not read",
    async run(target, from) {
      const { client, socket } = await login(target, from);
      const before = process.memoryUsage().arrayBuffers;
      const channel = await exec(client, "head -c 300000000 /dev/zero");
      const { id } = (channel as unknown as { outgoing: { id: number } }).outgoing;
      inside(client).channelWindowAdjust(id, 2 ** 31);
      socket.pause();
      let most = 0;
      for (const until = performance.now() + patience; performance.now() < until && most < 150 * MiB; await sleep(50))
        most = Math.max(most, process.memoryUsage().arrayBuffers - before);
      client.destroy();
      return most < 150 * MiB ? undefined : "150 MiB were kept";
    },
  },
  {
    name: "a client exchanges keys without end",
    async run(target, from) {
      const { client, socket } = await login(target, from);
      let exchanges = 0;
      const enough = new Promise<boolean>((resolve) => {
        client.on("handshake", () => {
          if (++exchanges < 200) setImmediate(() => inside(client).rekey());
          else resolve(true);
        });
      });
      inside(client).rekey();
      const endless = await Promise.race([enough, closed(socket).then(() => false)]);
      client.destroy();
      return endless ? "200 exchanges" : undefined;
    },
  },
];

function raw({ port }: Target, localAddress: string): Socket {
  return connect({ host: "127.0.0.1", port, localAddress }).on("error", () => undefined);
}

// Not by `once` of node:events: it rejects when the connection is reset, which is an end as well.
function closed(socket: Socket): Promise<void> {
  return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once("close", () => resolve()));
}

async function login(target: Target, from: string): Promise<{ client: Client; socket: Socket }> {
  const socket = raw(target, from);
  const client = new ssh2.Client();
  client.on("error", () => undefined);
  client.connect({ sock: socket, username: target.username, readyTimeout: 60_000 });
  await once(client, "ready");
  return { client, socket };
}

function exec(client: Client, command: string): Promise<ClientChannel> {
  return new Promise((resolve, reject) =>
    client.exec(command, (error, channel) => (error === undefined ? resolve(channel) : reject(error))),
  );
}

/** What the library's client has no method for. */
function inside(client: Client): { rekey(): void; channelWindowAdjust(id: number, amount: number): void } {
  return (client as unknown as { readonly _protocol: ReturnType<typeof inside> })._protocol;
}
