/** Who used how much processor time so far, while this process is a client of a platform. */
import { readdirSync } from "node:fs";
import { descendants, processorMilliseconds } from "@caisson/testing";

/** Milliseconds. */
export interface ProcessorTime {
  /** This process, with V8's helper threads. */
  readonly client: number;
  readonly server: number;
  /** What QEMU does apart from the guests: its main threads. */
  readonly monitors: number;
  /** QEMU's other threads; under emulation nearly all of it is the guests' processors. */
  readonly guests: number;
}

/** @param platform the server's process; the machines are its descendants, and none may begin or end between two calls */
export function processorTime(platform: number): ProcessorTime {
  const { user, system } = process.cpuUsage();
  let [monitors, guests] = [0, 0];
  for (const { pid, command } of descendants(platform)) {
    if (!/^\S*qemu-system/.test(command)) continue;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const time = processorMilliseconds(`${pid}/task/${thread}`);
      if (Number(thread) === pid) monitors += time;
      else guests += time;
    }
  }
  return { client: (user + system) / 1000, server: processorMilliseconds(platform), monitors, guests };
}
