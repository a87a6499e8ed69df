/** Waits until a client has read everything that was sent to it, and could react. */
import { setTimeout as sleep } from "node:timers/promises";
import type { WebSocket } from "ws";

/** Milliseconds to wait for a pong. */
const patience = 1000;
/** The client's library answers a ping as it reads it. The program above it reacts a moment later. Milliseconds. */
const reaction = 5;

let last = 0;

/** Never fails. */
export async function roundTrip(socket: WebSocket): Promise<void> {
  if (socket.readyState !== socket.OPEN) return;
  const mark = `trip-${++last}`;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      socket.off("pong", onPong);
      socket.off("close", done);
      resolve();
    };
    const onPong = (data: Buffer) => {
      if (data.toString("latin1") === mark) done();
    };
    const timer = setTimeout(done, patience);
    socket.on("pong", onPong);
    socket.on("close", done);
    socket.ping(mark);
  });
  await sleep(reaction);
}
