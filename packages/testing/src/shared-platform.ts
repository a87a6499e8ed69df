/** One platform for all test files of a run: the runner starts it and names its home; a file that is run alone starts its own. */
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { after } from "node:test";
import { readEnvFile, type ClientEnvironment } from "./env-file.ts";
import { startPlatform } from "./platform-process.ts";

/** Names the home of the platform that the runner started. */
export const sharedHomeVariable = "CAISSON_TEST_HOME";
/** Set by the runner when everything was asked for. */
export const fullVariable = "CAISSON_TEST_FULL";
/** Holds the process id of the platform that the runner started. */
export const sharedPidVariable = "CAISSON_TEST_PID";

export interface SharedPlatform {
  readonly home: string;
  readonly pid: number;
  readonly env: ClientEnvironment;
}

let started: Promise<SharedPlatform> | undefined;

/** Call at the top of a test file. Puts the client variables into `process.env`, so that official clients find the platform. */
export function sharedPlatform(): Promise<SharedPlatform> {
  started ??= find();
  return started;
}

async function find(): Promise<SharedPlatform> {
  const home = process.env[sharedHomeVariable];
  if (home !== undefined && home !== "") {
    const env = await readEnvFile(join(home, "env"));
    Object.assign(process.env, env);
    return { home, pid: Number(process.env[sharedPidVariable]), env };
  }
  const platform = await startPlatform();
  after(() => platform.stop().then(() => undefined));
  Object.assign(process.env, platform.env);
  return platform;
}

/**
 * Processor time that a process has used so far, milliseconds (Linux counts in hundredths of a second).
 * @param pid of a process, or `pid/task/thread` for one of its threads
 */
export function processorMilliseconds(pid: number | string): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
