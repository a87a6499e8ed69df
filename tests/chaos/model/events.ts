/** What happened in a run, in order. Everything that is judged about clients follows from it, so a run can be judged again later. */
import type { Report } from "../traffic/messages.ts";

export type Happening =
  | (Report & { readonly client: string })
  /** The driver ended, stopped or broke something, or mended it. */
  | { readonly type: "fault" | "healed"; readonly name: string; readonly detail: string }
  | { readonly type: "round"; readonly round: number; readonly seed: string }
  /** The server has ended: sessions end with it, and connections. `orderly`: it closed them itself. */
  | { readonly type: "server-killed"; readonly orderly?: true }
  | { readonly type: "client-killed"; readonly client: string }
  /** The machine of a sandbox was killed, so the sandbox has to end. */
  | { readonly type: "must-end"; readonly id: string; readonly why: string }
  /** From now on nobody knows whether it runs. */
  | { readonly type: "may-end"; readonly id: string; readonly why: string }
  /** Volumes and snapshots over a damaged layer: nothing about them is expected until they are mended. */
  | { readonly type: "damaged" | "mended"; readonly slugs: readonly string[] }
  /** What was unknown, as the store has it when all is quiet. Null: it does not exist. */
  | {
      readonly type: "resolved";
      readonly kind: "sandbox" | "volume" | "snapshot";
      readonly name: string;
      readonly id: string | null;
    }
  | { readonly type: "counted"; readonly sandbox: string; readonly value: number };

/** With the time, milliseconds since the epoch. */
export type Event = Happening & { readonly at: number };
