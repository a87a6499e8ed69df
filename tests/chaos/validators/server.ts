/** The server ends only when it is killed, and its memory, descriptors and mounts have bounds. */
import type { Validator } from "./validator.ts";

/** Bytes. What one server may need at its worst moment; the heap alone may have 2,000 MiB before V8 gives up. */
const mostMemory = 1024 * 2 ** 20;
/** Descriptors besides those of machines and clients. */
const mostDescriptors = 200;
/** Sockets that a machine needs, generously. */
const descriptorsPerMachine = 16;

export const server: Validator = {
  name: "server",
  check({ server: state, machines, mounts }) {
    const problems = state.unexpectedEnds.map((how) => `the server ended by itself: ${how}`);
    if (!state.running) problems.push("the server does not run");
    if (state.peakResidentBytes > mostMemory)
      problems.push(`the server took ${Math.round(state.peakResidentBytes / 2 ** 20)} MiB`);
    const most = mostDescriptors + descriptorsPerMachine * machines.length;
    if (state.fileDescriptors > most)
      problems.push(`the server holds ${state.fileDescriptors} descriptors, more than ${most}`);
    return [...problems, ...mounts.map((mount) => `${mount}: a mount below the home is left`)];
  },
};
