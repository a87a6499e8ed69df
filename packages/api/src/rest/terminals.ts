/** Terminals in sandboxes, over REST and one WebSocket for each viewer: additions of Caisson to the public contract. */
import { z } from "zod";
import { text } from "../rpc/common.ts";

/** Seconds. */
const usualKeep = 600;
const size = { rows: z.int().min(1).max(1000), columns: z.int().min(1).max(1000) };

export const newTerminal = z
  .strictObject({
    command: text.min(1).max(4096).default("/bin/bash").describe("Program that runs in the terminal."),
    args: z.array(text.max(65_536)).max(256).default(["-l"]).describe("Its arguments."),
    cwd: text.max(4096).optional().describe("Directory that it starts in. Default: the home directory."),
    env: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/), text.max(65_536))
      .default({})
      .describe("Environment variables, laid over those of the sandbox."),
    term: z
      .string()
      .regex(/^[\w.+-]{1,64}$/)
      .default("xterm-256color")
      .describe("Value of `TERM`."),
    rows: size.rows.default(24),
    columns: size.columns.default(80),
    keepSeconds: z
      .int()
      .min(1)
      .max(86_400)
      .default(usualKeep)
      .describe(
        "The terminal ends when nobody has viewed it for so long, seconds. It also ends with the sandbox and the server.",
      ),
  })
  .meta({ id: "NewTerminal" });

export type NewTerminal = z.output<typeof newTerminal>;

export const terminal = z
  .object({
    id: z.string(),
    command: z.string(),
    createdAt: z.number().describe("Epoch milliseconds."),
    rows: z.int(),
    columns: z.int(),
    keepSeconds: z.int(),
    viewers: z.int().describe("WebSockets that are attached now."),
    exit: z
      .object({ code: z.int(), signal: z.string().nullable() })
      .nullable()
      .describe("How the program ended. It can be attached to until `keepSeconds` are over, for its last output."),
  })
  .meta({ id: "Terminal" });

export type Terminal = z.output<typeof terminal>;

/** What a viewer sends in a text frame. Binary frames are input. */
export const terminalCommand = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("resize"), ...size }),
  z.strictObject({ type: z.literal("signal"), signal: z.string().regex(/^SIG[A-Z0-9]{1,12}$/) }),
  z.strictObject({ type: z.literal("close") }),
]);

/** What a viewer gets in a text frame. Binary frames are output. */
export const terminalNotice = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("attached"),
    ...size,
    scrollbackBytes: z.int().describe("So many bytes of former output follow in binary frames."),
    truncated: z.boolean().describe("There was more output than is kept."),
  }),
  z.object({ type: z.literal("size"), ...size }),
  z.object({ type: z.literal("exit"), code: z.int(), signal: z.string().nullable() }),
  z.object({ type: z.literal("error"), message: z.string() }),
]);

export type TerminalNotice = z.output<typeof terminalNotice>;
