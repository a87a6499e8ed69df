/**
 * A process that kills itself at a named step of launching a machine. Arguments: home, step. Run it where no cgroups are mounted, so that
 * none can help to find the machine again.
 */
import { subscribe } from "node:diagnostics_channel";
import { create, engine } from "./engine.ts";

const [home = "", step] = process.argv.slice(2);
const node = await engine(home, { config: { allowWithoutCgroups: true } });
await node.start({ wanted: [] });
subscribe("caisson:launch", (name) => {
  if (name === step) process.kill(process.pid, "SIGKILL");
});
await create(node);
