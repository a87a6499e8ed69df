/** Terminals over the WebSocket: they outlive connections, have several viewers, end in time, and are bounded. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { sharedPlatform, until } from "@caisson/testing";
import { Api } from "./viewer.ts";

const { env } = await sharedPlatform();
let sandbox: Sandbox;
let api: Api;

before(async () => {
  sandbox = await Sandbox.create();
  api = new Api(env.DENO_DEPLOY_ENDPOINT, env.DENO_DEPLOY_TOKEN, sandbox.id);
});
after(() => sandbox.kill().catch(() => undefined));

test("a dropped terminal goes on, and is picked up with its scrollback", async () => {
  const { id } = await api.open({ env: { PS1: "$ " }, args: ["--norc"] });
  const first = await api.attach(id);
  first.type("own=shell; echo seen-$((40 + 2))\n");
  await first.sees("seen-42");
  first.type("(sleep 0.5; echo while-away) & \n");
  await first.sees("while-away) &");
  first.drop();
  await until(30_000, "the viewer's end", async () => (await api.find(id))?.viewers === 0 || undefined);
  const second = await api.attach(id);
  await second.sees(/seen-42[^]*\$ while-away\r\n/);
  second.type("echo the-same-$own\n");
  await second.sees("the-same-shell");
  assert.equal(second.notices[0]?.type, "attached");
  assert.equal(await api.close(id), 204);
  assert.deepEqual(await second.closed, { code: 1000, reason: "The terminal was closed." });
});

test("two viewers see the same, and a size is everybody's; a third may only look", async () => {
  const { id } = await api.open({ env: { PS1: "$ " }, args: ["--norc"], rows: 30, columns: 100 });
  const [one, other] = [await api.attach(id), await api.attach(id)];
  one.type("stty size\n");
  await other.sees("30 100");
  other.command({ type: "resize", rows: 40, columns: 120 });
  const { rows, columns } = await one.notice("size");
  assert.deepEqual([rows, columns], [40, 120]);
  one.type("stty size; echo done-$((1 + 1))\n");
  for (const viewer of [one, other]) await viewer.sees(/40 120[^]*done-2[^]*\$ $/);
  assert.equal(one.output, other.output);
  const guest = await api.attach(id, "?readOnly=true");
  await guest.sees("done-2");
  guest.type("echo forbidden-$((1 + 1))\n");
  guest.command({ type: "close" });
  assert.match(String((await guest.notice("error"))["message"]), /read-only/);
  one.type("echo last-$((1 + 1))\n");
  await guest.sees("last-2");
  assert.doesNotMatch(one.output, /forbidden/);
  one.command({ type: "close" });
  await Promise.all([one.closed, other.closed, guest.closed]);
});

test("the end of the program is reported, also to those who come later", async () => {
  const { id } = await api.open({ command: "/bin/sh", args: ["-c", "read line; echo got $line; exit 7"] });
  const viewer = await api.attach(id);
  viewer.type("words\n");
  const { code, signal } = await viewer.notice("exit");
  assert.deepEqual([code, signal, (await viewer.closed).code], [7, null, 1000]);
  const late = await api.attach(id);
  assert.equal((await late.notice("exit"))["code"], 7);
  assert.match(late.output, /got words/);
  assert.deepEqual((await api.find(id))?.exit, { code: 7, signal: null });
  const killed = await api.open({ command: "/bin/cat", args: [] });
  const other = await api.attach(killed.id);
  other.command({ type: "signal", signal: "SIGTERM" });
  assert.equal((await other.notice("exit"))["signal"], "SIGTERM");
});

test("a terminal that nobody views ends in time, and its program with it", async () => {
  const { id } = await api.open({
    command: "/bin/sh",
    args: ["-c", "echo $$ > /tmp/pid; exec sleep 1000"],
    keepSeconds: 2,
  });
  const viewer = await api.attach(id);
  const pid = await until(30_000, "the program's id", async () =>
    sandbox.fs.readTextFile("/tmp/pid").then(
      (text) => text.trim() || undefined,
      () => undefined,
    ),
  );
  await new Promise((resolve) => setTimeout(resolve, 3000));
  assert.equal((await api.find(id))?.viewers, 1, "it lives as long as somebody views it");
  viewer.drop();
  await until(60_000, "the end", async () => ((await api.find(id)) === undefined ? true : undefined));
  const state = () => sandbox.sh`if kill -0 ${pid} 2>/dev/null; then echo runs; else echo over; fi`.text();
  await until(30_000, "the program's end", async () => (await state()) === "over\n" || undefined);
  await assert.rejects(api.attach(id), /404/);
});

test("scrollback, viewers and terminals are bounded", async () => {
  const { id } = await api.open({ command: "/bin/sh", args: ["-c", "seq 1 60000; echo end; sleep 1000"] });
  const first = await api.attach(id);
  await first.sees(/60000\r\nend/);
  first.drop();
  const late = await api.attach(id);
  await late.sees(/60000\r\nend/);
  const { truncated, scrollbackBytes } = await late.notice("attached");
  assert.equal(truncated, true);
  assert.ok(Number(scrollbackBytes) > 250_000 && Number(scrollbackBytes) <= 256 * 1024, String(scrollbackBytes));
  assert.match(late.output, /^\d+\r\n\d+\r\n/, "it begins with a line");
  for (let count = (await api.find(id))!.viewers; count < 16; count++) await api.attach(id);
  await assert.rejects(api.attach(id), /429/);
  await api.close(id);
  // Those that have ended make room, so these all run.
  const all: string[] = [];
  await assert.rejects(async () => {
    for (;;) all.push((await api.open({ command: "/bin/cat", args: [] })).id);
  }, /429/);
  assert.ok(all.length > 10 && all.length <= 16, String(all.length));
  for (const one of all) assert.equal(await api.close(one), 204);
});

test("bad requests are refused and change nothing", async () => {
  await assert.rejects(api.open({ rows: 0 }), /^Error: 400/);
  await assert.rejects(api.open({ unknown: 1 }), /^Error: 400/);
  await assert.rejects(api.open({ command: "/no/such/program" }), /^Error: 400/);
  await assert.rejects(api.attach("0123456789"), /404/);
  const { id } = await api.open({ command: "/bin/cat", args: [] });
  await assert.rejects(api.attach(id, "?readOnly=perhaps"), /400/);
  await assert.rejects(new Api(env.DENO_DEPLOY_ENDPOINT, "ddo_wrong", sandbox.id).attach(id), /401/);
  const rude = await api.attach(id);
  rude.command({ type: "resize", rows: "many" });
  assert.equal((await rude.closed).code, 1008);
  const large = await api.attach(id);
  large.socket.send(Buffer.alloc(70_000));
  assert.equal((await large.closed).code, 1009);
  await api.close(id);
});

test("all end with the sandbox", async () => {
  const own = await Sandbox.create();
  const its = new Api(env.DENO_DEPLOY_ENDPOINT, env.DENO_DEPLOY_TOKEN, own.id);
  const viewer = await its.attach((await its.open({ command: "/bin/cat", args: [] })).id);
  await own.kill();
  assert.equal((await viewer.closed).code, 1001);
  await assert.rejects(its.open(), /^Error: 4(04|10)/);
});
