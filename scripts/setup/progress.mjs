/** Shows how a step is going: a line that moves on a terminal, one line at start and end elsewhere. */

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/** Milliseconds after which a step is worth a word. */
const patience = 1000;

/** @param {number} started from performance.now() @returns {string} such as "12.3 s" */
const elapsed = (started) => `${((performance.now() - started) / 1000).toFixed(1)} s`;

/** Control sequences of other programs would move our cursor. @param {string} line */
// eslint-disable-next-line no-control-regex
const printable = (line) => line.replace(/\u001b\[[0-9;?]*[A-Za-z]|[\u0000-\u001f\u007f]/g, " ");

/**
 * @param {string} name of the step
 * @param {import("node:tty").WriteStream} [out]
 * @returns {{ line(text: string): void, end(result: string): void }}
 */
export function showProgress(name, out = process.stdout) {
  const started = performance.now();
  let last = "";
  let frame = 0;
  if (out.isTTY !== true) {
    const timer = setTimeout(() => out.write(`  ${name} ...\n`), patience);
    return {
      line() {},
      end(result) {
        clearTimeout(timer);
        out.write(`  ${name}: ${result} (${elapsed(started)})\n`);
      },
    };
  }
  const timer = setInterval(() => {
    const head = `${frames[frame++ % frames.length]} ${name}  ${elapsed(started)}  `;
    const text = printable(last).slice(0, Math.max(0, (out.columns || 80) - head.length - 1));
    out.write(`\r\u001b[2K${head}\u001b[2m${text}\u001b[0m`);
  }, 120);
  return {
    line(text) {
      last = text;
    },
    end(result) {
      clearInterval(timer);
      out.write(`\r\u001b[2K  ${name}: ${result} (${elapsed(started)})\n`);
    },
  };
}
