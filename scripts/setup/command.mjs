/** Runs a command with its output in a log file and its last line shown as progress. */
import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { SetupFailure } from "./failure.mjs";
import { logs } from "./paths.mjs";

/** Last lines of output that a failure repeats, and lines before them that speak of an error. */
const tailLines = 10;
const errorLines = 6;

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {object} options
 * @param {string} options.log name of the log file, without folder and extension; commands of one step share it
 * @param {(line: string) => void} options.progress told each line
 * @param {string} options.remedy what to do when the command fails
 * @param {string} [options.cwd]
 * @param {Record<string, string>} [options.env] added to this process's environment
 * @param {number} [options.timeoutSeconds] the command is ended after this; default 1800
 * @returns {Promise<string>} standard output
 * @throws {SetupFailure} when it cannot be started, fails or takes too long
 */
export async function run(command, args, options) {
  mkdirSync(logs, { recursive: true });
  const path = join(logs, `${options.log}.log`);
  const log = createWriteStream(path, { flags: "a" });
  log.write(`\n$ ${command} ${args.join(" ")}\n`);
  const seconds = options.timeoutSeconds ?? 1800;
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGTERM");
  }, seconds * 1000);
  /** @type {string[]} */
  const tail = [];
  /** @type {string[]} */
  const errors = [];
  const output = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text) => {
      log.write(text);
      if (stream === child.stdout) output.push(text);
      for (const line of text.split(/[\r\n]+/)) {
        if (line.trim() === "") continue;
        tail.push(line);
        // Some tools end with pages of help: what they complained of first is kept as well.
        const left = tail.length > tailLines ? tail.shift() : undefined;
        if (left !== undefined && errors.length < errorLines && /\berror\b|\bfailed\b|^E:/i.test(left))
          errors.push(left);
        options.progress(line.trim());
      }
    });
  }
  const end = await new Promise((done) => {
    child.once("error", (error) => done(`${command}: ${error.message}`));
    child.once("close", (code, signal) => {
      if (late) done(`${command} took longer than ${seconds} s and was ended`);
      else if (code !== 0) done(`${command} ended with ${signal ?? `exit code ${code}`}`);
      else done(null);
    });
  });
  clearTimeout(timer);
  await new Promise((done) => log.end(done));
  if (end !== null) {
    const lines = [...errors, ...tail].map((line) => `  ${line}`);
    throw new SetupFailure([end, ...lines].join("\n"), options.remedy, path);
  }
  return output.join("");
}
