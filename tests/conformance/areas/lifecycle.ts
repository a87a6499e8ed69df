/** Rows 1-5, 15, 17-24: how sandboxes begin, are found, and end. */
import assert from "node:assert/strict";
import { Client, Sandbox } from "@deno/sandbox";
import { WebSocket } from "ws";
import { rejection, until, within, type Scenario } from "../runner/scenario.ts";

/** Every scenario makes its own sandboxes. */
export const shared = false;

const label = `run-${Math.random().toString(36).slice(2, 10)}`;

async function ended(id: string, limit = 10_000): Promise<void> {
  await until(limit, `the end of ${id}`, async () => {
    const entry = (await new Client().sandboxes.list()).find((sandbox) => sandbox.id === id);
    return entry?.status === "stopped";
  });
}

export const scenarios: readonly Scenario[] = [
  {
    row: 1,
    title: "create gives a usable sandbox with an id of the contract's form",
    async run() {
      await using sandbox = await Sandbox.create();
      assert.match(sandbox.id, /^sbx_[a-z]{3}_[0-9a-hjkmnp-z]{20}$/);
      assert.equal(await sandbox.sh`echo hello`.text(), "hello\n");
      await using second = await new Client().sandboxes.create();
      assert.notEqual(second.id, sandbox.id);
    },
  },
  {
    row: 2,
    title: "a session ends with the connection of its creator, whoever else is connected",
    async run() {
      const sandbox = await Sandbox.create({ timeout: "session" });
      const guest = await Sandbox.connect(sandbox.id);
      await sandbox.close();
      await within(10_000, "the second connection's end", guest.closed);
      await ended(sandbox.id);
    },
  },
  {
    row: 3,
    title: "a duration survives the creator and ends on time",
    async run() {
      const start = Date.now();
      const sandbox = await Sandbox.create({ timeout: "6s" });
      await sandbox.fs.writeTextFile("/tmp/mark", "still here");
      await sandbox.close();
      const again = await Sandbox.connect(sandbox.id);
      assert.equal(await again.fs.readTextFile("/tmp/mark"), "still here");
      await within(12_000, "the stop time", again.closed);
      const lasted = Date.now() - start;
      assert.ok(lasted > 5_500 && lasted < 9_500, `ended after ${lasted} ms instead of 6000`);
      await ended(sandbox.id);
    },
  },
  {
    row: 4,
    title: "the memory asked for is what the sandbox has",
    async run() {
      const total = async (memory: "768MiB" | "2GiB"): Promise<number> => {
        await using sandbox = await Sandbox.create({ memory });
        return Number((await sandbox.sh`awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo`.text()).trim());
      };
      const [small, large] = [await total("768MiB"), await total("2GiB")];
      assert.ok(small > 600 && small <= 768, `768 MiB asked for, ${small} there`);
      assert.ok(large > 1800 && large <= 2048, `2048 MiB asked for, ${large} there`);
      await assert.rejects(Sandbox.create({ memory: "500MiB" }), /out of range/);
    },
  },
  {
    row: 5,
    title: "labels are kept, and their limits enforced",
    async run() {
      await using sandbox = await Sandbox.create({ labels: { label, purpose: "conformance" } });
      const [entry] = await new Client().sandboxes.list({ labels: { label } });
      assert.equal(entry?.id, sandbox.id);
      const tooMany = Object.fromEntries(["a", "b", "c", "d", "e", "f"].map((key) => [key, "1"]));
      assert.equal((await rejection(Sandbox.create({ labels: tooMany }))).status, 400);
      assert.equal((await rejection(Sandbox.create({ labels: { ["k".repeat(65)]: "1" } }))).status, 400);
      assert.equal((await rejection(Sandbox.create({ labels: { key: "v".repeat(129) } }))).status, 400);
    },
  },
  {
    row: 15,
    title: "a bad token is refused as such",
    async run() {
      const create = await rejection(Sandbox.create({ token: "ddo_not_a_token" }));
      assert.equal(create.constructor.name, "InvalidTokenError");
      const list = await rejection(new Client({ token: "ddo_not_a_token" }).sandboxes.list());
      assert.equal(list.status, 401);
    },
  },
  {
    row: 17,
    title: "a second connection shares files, environment and processes",
    async run() {
      await using first = await Sandbox.create();
      await using second = await Sandbox.connect({ id: first.id });
      assert.equal(second.id, first.id);
      await first.fs.writeTextFile("/tmp/shared", "one");
      assert.equal(await second.fs.readTextFile("/tmp/shared"), "one");
      await second.env.set("SHARED", "two");
      assert.equal(await first.env.get("SHARED"), "two");
      const sleeper = await first.spawn("sleep", { args: ["1000"] });
      await second.sh`kill -9 ${sleeper.pid}`;
      assert.equal((await sleeper.status).signal, "SIGKILL");
    },
  },
  {
    row: 18,
    title: "connect after the end is refused",
    async run() {
      const sandbox = await Sandbox.create();
      await sandbox.kill();
      const error = await rejection(Sandbox.connect(sandbox.id));
      assert.ok(error.status === 404 || error.status === 410, String(error));
      const unknown = await rejection(Sandbox.connect("sbx_ord_00000000000000000000"));
      assert.equal(unknown.status, 404);
    },
  },
  {
    row: 19,
    title: "close ends the connection; later calls fail at once",
    async run() {
      const sandbox = await Sandbox.create();
      await within(10_000, "close", sandbox.close());
      await within(1_000, "closed", sandbox.closed);
      await rejection(sandbox.fs.readTextFile("/etc/hostname"));
    },
  },
  {
    row: 20,
    title: "closed resolves when the sandbox ends",
    async run() {
      const sandbox = await Sandbox.create({ timeout: "5m" });
      const other = await Sandbox.connect(sandbox.id);
      await other.kill();
      await within(5_000, "closed", sandbox.closed);
    },
  },
  {
    row: 21,
    title: "kill ends the sandbox and every connection",
    async run() {
      const sandbox = await Sandbox.create({ timeout: "5m" });
      const other = await Sandbox.connect(sandbox.id);
      await within(10_000, "kill", sandbox.kill());
      await within(5_000, "the other connection's end", other.closed);
      await ended(sandbox.id);
    },
  },
  {
    row: 22,
    title: "the timeout can be extended, to 30 minutes at most",
    async run() {
      const sandbox = await Sandbox.create({ timeout: "4s" });
      try {
        const until = await sandbox.extendTimeout("5m");
        assert.ok(Math.abs(until.getTime() - (Date.now() + 300_000)) < 10_000, until.toISOString());
        const most = await sandbox.extendTimeout("60m").catch(() => undefined);
        assert.ok(most === undefined || most.getTime() <= Date.now() + 30 * 60_000 + 5_000, most?.toISOString());
        // The first stop time passes without effect, and running work is not disturbed.
        assert.equal(await sandbox.sh`sleep 5; echo through`.text(), "through\n");
      } finally {
        await sandbox.kill();
      }
    },
  },
  {
    row: 23,
    title: "list shows running and stopped sandboxes",
    async run() {
      const mark = `${label}-list`;
      const sandbox = await Sandbox.create({ labels: { mark } });
      const client = new Client();
      const [running] = await client.sandboxes.list({ labels: { mark } });
      assert.equal(running?.id, sandbox.id);
      assert.equal(running?.status, "running");
      assert.equal(running?.region, sandbox.id.slice(4, 7));
      assert.equal(running?.stoppedAt, null);
      assert.ok(Math.abs((running?.createdAt.getTime() ?? 0) - Date.now()) < 60_000);
      assert.ok((await client.sandboxes.list()).some((entry) => entry.id === sandbox.id));
      await sandbox.kill();
      const [stopped] = await client.sandboxes.list({ labels: { mark } });
      assert.equal(stopped?.status, "stopped");
      assert.ok(stopped?.stoppedAt instanceof Date);
      assert.deepEqual(await client.sandboxes.list({ labels: { mark: "no such label" } }), []);
    },
  },
  {
    row: 24,
    title: "the client's text pings are answered",
    async run() {
      // The client swallows the answers, so listen below it.
      let answered: (() => void) | undefined;
      const pong = new Promise<void>((resolve) => (answered = resolve));
      // eslint-disable-next-line typescript/unbound-method -- called with its receiver below
      const emit = WebSocket.prototype.emit;
      WebSocket.prototype.emit = function (this: WebSocket, event: string | symbol, ...rest: unknown[]): boolean {
        if (event === "message" && String(rest[0]) === "pong") answered?.();
        return emit.call(this, event, ...rest);
      } as typeof emit;
      try {
        await using sandbox = await Sandbox.create();
        await within(8_000, `a pong to ${sandbox.id}`, pong);
      } finally {
        WebSocket.prototype.emit = emit;
      }
    },
  },
];
