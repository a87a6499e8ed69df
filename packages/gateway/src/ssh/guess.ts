/**
 * A client may guess the key exchange and send its first message with it (RFC 4253, 7); dropbear does. The library takes every guess for
 * a wrong one and drops the message, and both sides wait for ever.
 */
import type { Connection } from "ssh2";
import { algorithms } from "./algorithms.ts";

interface Guessing {
  readonly _protocol: {
    readonly _packetRW: { readonly read: { read(payload: Buffer): Buffer } };
    _skipNextInboundPacket: boolean;
  };
}

const kexInit = 20;
const cookieBytes = 16;

/** To be called before the client's first message is looked at. */
export function honourGuesses(connection: Connection): void {
  const { _protocol: protocol } = connection as unknown as Guessing;
  const reader = protocol._packetRW.read;
  const read = reader.read.bind(reader);
  let right = false;
  let skip = false;
  // The reader is replaced with the first keys; a later guess does not matter, as no client makes one.
  reader.read = (payload) => {
    const message = read(payload);
    if (message[0] === kexInit) right = guessedRight(message);
    return message;
  };
  Object.defineProperty(protocol, "_skipNextInboundPacket", {
    get: () => skip,
    set: (value: boolean) => {
      skip = value && !right;
    },
  });
}

/** Whether the algorithms that the client prefers are those that we do. */
function guessedRight(message: Buffer): boolean {
  const lists: string[] = [];
  let at = 1 + cookieBytes;
  for (let list = 0; list < 2; list++) {
    if (at + 4 > message.length) return false;
    const length = message.readUInt32BE(at);
    at += 4;
    lists.push(message.toString("latin1", at, Math.min(at + length, message.length)));
    at += length;
  }
  const [kex, hostKey] = lists.map((list) => list.split(",", 1)[0]);
  return kex === (algorithms.kex as string[])[0] && hostKey === (algorithms.serverHostKey as string[])[0];
}
