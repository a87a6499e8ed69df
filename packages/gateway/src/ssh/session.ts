/** One session channel: a shell, a command or a subsystem, with or without a terminal. */
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf, type SshRoute } from "@caisson/protocol";
import type { Logger } from "pino";
import type { PseudoTtyInfo, ServerChannel, Session } from "ssh2";
import { whenOver } from "./channel-end.ts";
import { platformFailure, reportExit } from "./exit.ts";
import { enforceWindow, type Flow } from "./flow.ts";
import { sshLimits } from "./limits.ts";
import { endsWithin } from "./machine-end.ts";

/** The programs of subsystems. Clients that copy files use the guest's own programs, so nothing here knows SFTP. */
const subsystems: Readonly<Record<string, string>> = { sftp: "/usr/lib/openssh/sftp-server" };
const shell = "/bin/bash";
/** Names of variables that a client may not set: they change what the login shell loads. */
const variableName = /^(?!LD_)[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/** By which the programs of a machine end with it. */
const lastSignals: ReadonlySet<string> = new Set(["SIGHUP", "SIGTERM", "SIGKILL"]);

interface Program {
  readonly command: string;
  readonly args: readonly string[];
}

export interface SessionOptions {
  readonly session: Session;
  readonly route: SshRoute;
  /** Makes the client's SSH agent usable inside and gives the path of its socket. Absent: the operator does not allow it. */
  readonly agentSocket: (() => Promise<string>) | undefined;
  readonly flow: Flow;
  /** Called when the client sends more than it may. */
  readonly violated: () => void;
  readonly log: Logger;
}

/** Answers the requests of a session. What has no listener here is refused by the library, such as X11 forwarding. */
export function serveSession({ session, route, agentSocket, flow, violated, log }: SessionOptions): void {
  const { agent } = route;
  const env: Record<string, string> = {};
  let terminal: PseudoTtyInfo | undefined;
  let started: Promise<number> | undefined;
  let socket: Promise<string | undefined> | undefined;

  session.on("pty", (accept, _reject, info) => {
    terminal = info;
    accept?.();
  });
  session.on("env", (accept, reject, { key, val }) => {
    const known = Object.hasOwn(env, key) || Object.keys(env).length < sshLimits.variables;
    if (!variableName.test(key) || val.includes("\0") || Buffer.byteLength(val) > sshLimits.variableBytes || !known) {
      reject?.();
      return;
    }
    env[key] = val;
    accept?.();
  });
  if (agentSocket !== undefined)
    session.on("auth-agent", (accept, reject) => {
      const made = agentSocket();
      made.then(() => accept?.()).catch(() => reject?.());
      socket = made.catch((error: unknown) => {
        log.info({ err: error }, "an SSH agent was not forwarded");
        return undefined;
      });
    });
  session.on("window-change", (accept, _reject, info) => {
    terminal = terminal === undefined ? undefined : { ...terminal, ...info };
    accept?.();
    void started
      ?.then((pid) => agent.processes.resizeTerminal({ pid, ...sizeOf(info) }))
      .catch((error: unknown) => log.debug({ err: error }, "a terminal was not resized"));
  });
  session.on("signal", (accept, _reject, { name }) => {
    accept?.();
    void started
      ?.then((pid) => agent.processes.kill({ pid, signal: `SIG${name}` }))
      .catch((error: unknown) => log.debug({ err: error }, "a signal was not sent"));
  });
  session.on("shell", (accept) => begin(accept(), { command: shell, args: ["-l"] }));
  session.on("exec", (accept, reject, { command }) => {
    if (command.includes("\0") || Buffer.byteLength(command) > sshLimits.commandBytes) {
      reject?.();
      return;
    }
    begin(accept(), { command: shell, args: ["-c", command] });
  });
  session.on("subsystem", (accept, reject, { name }) => {
    const command = Object.hasOwn(subsystems, name) ? subsystems[name] : undefined;
    if (command === undefined) {
      reject?.();
      return;
    }
    begin(accept(), { command, args: [] });
  });

  function begin(channel: ServerChannel, program: Program): void {
    // The client may disconnect at any moment; that must not end this process.
    channel.on("error", (error: unknown) => log.debug({ err: error }, "an SSH channel failed"));
    enforceWindow(channel, violated);
    const running = run(channel, program);
    started = running.then(({ pid }) => pid);
    started.catch(() => undefined);
    // The client disconnects, perhaps while the program starts: the terminal hangs up, and so do programs without one.
    whenOver(channel, () => {
      void started?.then((pid) => agent.processes.kill({ pid, signal: "SIGHUP" })).catch(() => undefined);
    });
    running
      .then(({ done }) => done)
      .catch(async (error: unknown) => {
        // When the machine has ended by itself, its streams break first. Then the client reads that, not what failed.
        if (errnoOf(error) === undefined && (await endsWithin(agent, sshLimits.ending))) return;
        if (!route.ended.aborted) log.info({ err: error }, "an SSH session failed");
        if (channel.writable) channel.stderr.write(`caisson: ${textOf(error)}\r\n`);
        channel.exit(platformFailure);
        channel.end();
      });
  }

  async function run(
    channel: ServerChannel,
    { command, args }: Program,
  ): Promise<{ readonly pid: number; readonly done: Promise<void> }> {
    const agentPath = await socket;
    const { pid, stdinStream, stdoutStream, stderrStream } = await agent.processes.spawn({
      command,
      args: [...args],
      env: { ...env, ...(agentPath !== undefined && { SSH_AUTH_SOCK: agentPath }) },
      stdin: true,
      stdout: true,
      stderr: terminal === undefined,
      ...(terminal === undefined ? {} : { terminal: { type: termOf(terminal), ...sizeOf(terminal) } }),
    });
    const ended = agent.processes.wait({ pid });
    feed(channel, agent.writeStream(stdinStream));
    const copy = async (stream: bigint, target: Writable) => {
      const output = agent.readStream(stream);
      await flow.copy(output, target, channel);
      output.destroy();
    };
    const outputs = [copy(stdoutStream, channel)];
    if (stderrStream !== 0n) outputs.push(copy(stderrStream, channel.stderr));
    const flushed = Promise.all(outputs);
    return {
      pid,
      done: (async () => {
        const { code, signal } = await ended;
        // The end of a machine can show as the end of its programs first. A client that reads how its program was killed leaves, and would
        // never read that the sandbox has ended.
        if (lastSignals.has(signal) && (await endsWithin(agent, sshLimits.killed))) return;
        // A program in the background may keep the output open. sshd does not wait for it either once the terminal is closed.
        await (terminal === undefined ? flushed : Promise.race([flushed, sleep(sshLimits.drain)]));
        reportExit(channel, { code, signal });
        channel.end();
      })(),
    };
  }
}

// Not `pipeline`: it destroys the channel when one stream fails, and the exit status would be lost.

/** A program that ends before its input does is no error: what the client still sends is dropped. */
function feed(channel: ServerChannel, input: Writable): void {
  input.on("error", () => {
    channel.unpipe(input);
    channel.resume();
  });
  whenOver(channel, () => input.destroy());
  channel.pipe(input);
}

function sizeOf({ rows, cols }: { readonly rows: number; readonly cols: number }): { rows: number; columns: number } {
  const bounded = (value: number, usual: number) => (value === 0 ? usual : Math.min(value, 10_000));
  return { rows: bounded(rows, 24), columns: bounded(cols, 80) };
}

function termOf(info: PseudoTtyInfo): string {
  const { term } = info as unknown as { readonly term?: string };
  return term !== undefined && /^[\w.+-]{1,64}$/.test(term) ? term : "xterm";
}

function textOf(error: unknown): string {
  const errno = errnoOf(error);
  return errno === undefined
    ? "The sandbox did not start the program."
    : `The program could not be started (${errno}).`;
}
