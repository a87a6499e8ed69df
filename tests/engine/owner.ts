/** A process that creates two machines, prints "ready", and waits to be killed. Arguments: home, ids. */
import { create, engine, sh } from "./engine.ts";

const [home = "", ...ids] = process.argv.slice(2);
const node = await engine(home);
await node.start({ wanted: [] });
for (const id of ids) {
  const machine = await create(node, { id });
  await sh(machine, `echo ${id} > /home/app/name; nohup sleep 1000 >/dev/null 2>&1 &`);
}
console.log("ready");
setInterval(() => undefined, 1000);
