/**
 * A process that creates machines, prints "ready", and waits to be killed. Arguments: home, ids. With `FILL` set each machine writes to
 * its disk without end.
 */
import { create, engine, sh } from "./engine.ts";

const [home = "", ...ids] = process.argv.slice(2);
const node = await engine(home);
await node.start({ wanted: [] });
for (const id of ids) {
  const machine = await create(node, { id });
  if (process.env["FILL"] !== undefined)
    await sh(machine, "nohup dd if=/dev/zero of=/home/app/big bs=1M oflag=direct >/dev/null 2>&1 &");
  await sh(machine, `echo ${id} > /home/app/name; nohup sleep 1000 >/dev/null 2>&1 &`);
}
console.log("ready");
setInterval(() => undefined, 1000);
