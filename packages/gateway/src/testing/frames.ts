/** HTTP/2 frames written by hand (RFC 9113 4.1), for requests that no library would send. */
import { connect, type TLSSocket } from "node:tls";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

export const frameType = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;
export const flag = { end: 1, endHeaders: 4 } as const;

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** HPACK literals without indexing, plain (RFC 7541 6.2.2): any bytes go through. Names and values below 127 bytes. */
export function block(fields: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value, "latin1")]);
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

export const preface = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(frameType.settings, 0, 0),
]);

export interface Attacker {
  readonly socket: TLSSocket;
  /** Whether the connection ended within that time, milliseconds. */
  cutWithin(milliseconds: number): Promise<boolean>;
}

export async function attack(port: number, servername: string): Promise<Attacker> {
  const socket = connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  socket.on("error", () => undefined).resume();
  await once(socket, "secureConnect");
  socket.write(preface);
  return {
    socket,
    cutWithin: async (milliseconds) => {
      const closed = socket.closed
        ? Promise.resolve(true)
        : new Promise<boolean>((resolve) => socket.once("close", () => resolve(true)));
      const cut = await Promise.race([closed, sleep(milliseconds).then(() => false)]);
      socket.destroy();
      return cut;
    },
  };
}
