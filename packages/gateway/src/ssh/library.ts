/**
 * What the SSH library has inside and does not offer. Its version is fixed in package.json; `library.test.ts` fails when a new one differs.
 */
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { CaissonError } from "@caisson/protocol";
import type { Connection, ServerChannel } from "ssh2";

interface Internals {
  readonly _sock: Socket;
  readonly _chanMgr: { add(opened: (error: Error | undefined, channel: ServerChannel) => void): number };
  readonly _protocol: {
    readonly _cipher: { encrypt(packet: Buffer): void };
    readonly _packetRW: {
      readonly write: {
        readonly allocStartKEX: number;
        alloc(bytes: number, whileExchanging: boolean): Buffer;
        finalize(packet: Buffer, whileExchanging: boolean): Buffer;
      };
    };
    /** Set while keys are exchanged. */
    readonly _kexinit: unknown;
    /** Messages that wait for the end of the key exchange. */
    readonly _queue: readonly Buffer[] | undefined;
    rekey(): void;
    openssh_authAgent(channel: number, window: number, packet: number): void;
  };
}

/** RFC 4253, 11.1. */
export const disconnectReasons = {
  protocolError: 2,
  byApplication: 11,
  tooManyConnections: 12,
  noMoreMethods: 14,
} as const;

const disconnectMessage = 1;
const bannerMessage = 53;

/** Bytes, as the library has them for other channels. */
const agentWindow = 2 * 2 ** 20;
const agentPacket = 32 * 1024;

/** @throws CaissonError `unavailable`: without it the library works, but takes two to four times the processor time, and reports nothing */
export function requireNativeCrypto(): void {
  try {
    createRequire(import.meta.url)("ssh2/lib/protocol/crypto/build/Release/sshcrypto.node");
  } catch (cause) {
    throw new CaissonError(
      "unavailable",
      "The native cryptography of the SSH library is not built for this Node.js. Run: node scripts/setup.mjs --for start",
      { cause },
    );
  }
}

export function socketOf(connection: Connection): Socket {
  return inside(connection)._sock;
}

/** Sends SSH_MSG_DISCONNECT with words, which every client shows; the library sends none. Does not close the socket. */
export function sendDisconnect(connection: Connection, reason: number, words: string): void {
  const code = Buffer.alloc(4);
  code.writeUInt32BE(reason);
  send(connection, Buffer.concat([Buffer.from([disconnectMessage]), code, textOf(words)]));
}

/** Sends SSH_MSG_USERAUTH_BANNER (RFC 4252, 5.4), which clients show before they have logged in. */
export function sendBanner(connection: Connection, words: string): void {
  if (!isExchangingKeys(connection))
    send(connection, Buffer.concat([Buffer.from([bannerMessage]), textOf(`${words}\r\n`)]));
}

/** A string, and the language: none. */
function textOf(words: string): Buffer {
  const text = Buffer.from(words);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text, Buffer.alloc(4)]);
}

function send(connection: Connection, message: Buffer): void {
  const { _protocol: protocol } = inside(connection);
  const { write } = protocol._packetRW;
  const packet = write.alloc(message.length, true);
  packet.set(message, write.allocStartKEX);
  protocol._cipher.encrypt(write.finalize(packet, true));
}

interface Outgoing {
  readonly _waitWindow: boolean;
  _chunk: unknown;
  _chunkcb: unknown;
  _chunkErr: unknown;
  _chunkcbErr: unknown;
}

/** Whether something written to a channel waits for its client to open the window. */
export function waitsForWindow(channel: ServerChannel): boolean {
  return (channel as unknown as Outgoing)._waitWindow;
}

/** The library does not forget what had waited, and sends it again in place of what waits next on the channel's other stream. */
export function forgetWaiting(channel: ServerChannel): void {
  const outgoing = channel as unknown as Outgoing;
  outgoing._chunk = outgoing._chunkcb = outgoing._chunkErr = outgoing._chunkcbErr = undefined;
}

/**
 * Calls when a channel is closed on both sides, or its connection has ended; at once when it was before.
 * Only once for each channel.
 */
export function whenClosed(channel: ServerChannel, listener: () => void): void {
  const { incoming } = channel as unknown as { readonly incoming: { state: string } };
  let { state } = incoming;
  if (state === "closed") return listener();
  Object.defineProperty(incoming, "state", {
    get: () => state,
    set: (next: string) => {
      state = next;
      if (next === "closed") listener();
    },
  });
}

/** Asks the client for a channel to its agent, as after `auth-agent-req@openssh.com`. @throws Error when the client refuses */
export function openAgentChannel(connection: Connection): Promise<ServerChannel> {
  const { _chanMgr: channels, _protocol: protocol } = inside(connection);
  return new Promise((resolve, reject) => {
    const opened = (error: Error | undefined, made: ServerChannel) =>
      error === undefined ? resolve(made) : reject(error);
    const id = channels.add(Object.assign(opened, { type: "auth-agent@openssh.com" }));
    if (id === -1) reject(new Error("the connection has no channel left"));
    else protocol.openssh_authAgent(id, agentWindow, agentPacket);
  });
}

export function beginRekey(connection: Connection): void {
  inside(connection)._protocol.rekey();
}

export function isExchangingKeys(connection: Connection): boolean {
  return inside(connection)._protocol._kexinit !== undefined;
}

/** Messages that wait for the end of a key exchange. */
export function queuedMessages(connection: Connection): number {
  return inside(connection)._protocol._queue?.length ?? 0;
}

function inside(connection: Connection): Internals {
  return connection as unknown as Internals;
}
