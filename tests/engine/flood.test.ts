/** A guest whose root sends what nobody asked for: it ends, its owner learns why, and its neighbours notice next to nothing. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Created, create, sh, withEngine } from "./engine.ts";

interface Attack {
  readonly program: "ports.py" | "frames.py";
  readonly args: string;
  readonly detail: RegExp;
}

const ping = `00000806000000000000${"00".repeat(7)}`;
const attacks: Readonly<Record<string, Attack>> = {
  // Register "status" of ACPI's processor hotplug: select processor 0, choose the field, then write it for ever.
  "events of the monitor": {
    program: "ports.py",
    args: "0xce0 0xcd8:1:0 0xcd8:4:0 0xcdd:1:2",
    detail: /floods the monitor with events/,
  },
  "PING on the control port, with a call open": {
    program: "frames.py",
    args: `caisson.control ${ping}`,
    // The other text: it flooded again while the server opened the session anew.
    detail: /HTTP\/2 control frames|floods its port without answering the handshake/,
  },
};

async function start(machine: Created, { program, args }: Attack): Promise<void> {
  const data = await readFile(join(import.meta.dirname, "guest", program));
  await machine.agent.files.writeFile({ path: `/tmp/${program}`, data, create: true });
  const { pid } = await machine.agent.processes.spawn({
    command: "sh",
    args: ["-c", `sleep 0.3; exec sudo python3 /tmp/${program} ${args}`],
  });
  // A call that stays open: what it delivers is not what the guest floods with.
  machine.agent.processes.wait({ pid }).catch(() => undefined);
}

/** Milliseconds of one command, the median of several. */
async function latency(machine: Created, rounds: number): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    await sh(machine, "true");
    times.push(performance.now() - began);
  }
  return times.toSorted((a, b) => a - b)[Math.floor(rounds / 2)]!;
}

test("floods end their machine with a reason, and a neighbour answers meanwhile", { timeout: 300_000 }, () =>
  withEngine({}, async (node) => {
    const neighbour = await create(node);
    await latency(neighbour, 5);
    const alone = await latency(neighbour, 15);
    for (const [what, attack] of Object.entries(attacks)) {
      const attacker = await create(node);
      const ended = node.machines.waitExit(attacker.id);
      await start(attacker, attack);
      const during = await latency(neighbour, 25);
      const exit = await Promise.race([
        ended,
        sleep(90_000).then(() => assert.fail(`${what}: the machine still runs`)),
      ]);
      assert.equal(exit.reason, "evicted", `${what}: ${exit.detail}`);
      assert.match(exit.detail, attack.detail);
      // Loose: two virtual processors of the attacker share two real ones with the neighbour.
      assert.ok(during < 10 * alone + 1000, `${what}: a command took ${during} ms instead of ${alone} ms`);
      assert.equal(await sh(neighbour, "echo alive"), "alive");
    }
    assert.equal((await node.status()).ended.evicted, Object.keys(attacks).length);
  }),
);
