/** Root in a sandbox that sends the host what nobody asked for. The host may end that sandbox, and nobody else's. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { flooding } from "./flood.ts";
import type { Fault } from "./fault.ts";

const programs = join(import.meta.dirname, "../../engine/guest");
const ping = `00000806000000000000${"00".repeat(7)}`;

function guestFlood(what: string, program: string, ...args: readonly string[]): Fault {
  return flooding(what, async (client) => {
    // As an argument: the call that would write a file is one of those that this program breaks.
    const script = await readFile(join(programs, program), "utf8");
    await client.ok("spawn", { command: "sudo", args: ["python3", "-c", script, ...args] });
    return `${program} ${args.join(" ")}`;
  });
}

/** QMP: each write to this register makes QEMU send an event. */
export const floodQmp = guestFlood("qmp", "ports.py", "0xce0", "0xcd8:1:0", "0xcd8:4:0", "0xcdd:1:2");
/** PING frames on the port of the agent. */
export const floodControl = guestFlood("control", "frames.py", "caisson.control", ping);
