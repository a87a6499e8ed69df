/** How a process ended, as SSH reports it (RFC 4254, 6.10). */
import type { ServerChannel } from "ssh2";

/** The platform failed, not the program. Programs rarely use it, and no shell does. */
export const platformFailure = 229;

export interface ProcessEnd {
  /** 128 + signal when a signal ended it. */
  readonly code: number;
  /** Such as SIGTERM; empty when it exited. */
  readonly signal: string;
}

export function reportExit(channel: ServerChannel, { code, signal }: ProcessEnd): void {
  if (signal === "") channel.exit(code);
  // RFC 4254 names signals without SIG.
  else channel.exit(signal.replace(/^SIG/, ""), false, `ended by ${signal}`);
}
