/** Attaching, again and again, and while the worker is away: the newest attach wins, and nothing else is served. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import type { EgressAttachment, EgressPolicy } from "@caisson/protocol";
import { answerSync, ConnectRefused, Guest } from "../testing/guest.ts";
import { startHarness, startHttps, type Harness, type Upstream } from "../testing/harness.ts";
import { ask } from "../testing/talk.ts";

const wide: EgressPolicy = { allow: ["api.test", "wide.test"] };
const narrow: EgressPolicy = { allow: ["api.test"] };
/** Milliseconds in which a worker starts, and a port that is served has been come to. */
const [restart, soon] = [10_000, 500];
let upstream: Upstream;
let harness: Harness;

before(async () => {
  upstream = await startHttps(["api.test", "wide.test"], (_, response) => response.end("ok"));
  const to = `127.0.0.1:${upstream.port}`;
  harness = await startHarness({ workers: 1, resolve: { "api.test": to, "wide.test": to } });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

interface Machine {
  readonly guest: Guest;
  readonly attachment: (policy: EgressPolicy) => EgressAttachment;
  /** @returns the authority's certificate, which the guest trusts then */
  readonly attach: (policy: EgressPolicy, signal?: AbortSignal) => Promise<string>;
}

/** A machine of its own. */
async function machine(t: TestContext, onSocket?: (socket: Socket) => void): Promise<Machine> {
  const sandboxId = `sbx_ord_${randomBytes(8).toString("hex")}`;
  const socketPath = join(harness.directory, `${sandboxId}.sock`);
  const guest = await Guest.listen(socketPath, onSocket);
  t.after(async () => {
    await harness.guard.detach(sandboxId);
    await guest.close();
  });
  const attachment = (policy: EgressPolicy): EgressAttachment => ({ sandboxId, socketPath, policy, secrets: [] });
  const attach = async (policy: EgressPolicy, signal?: AbortSignal): Promise<string> =>
    (guest.ca = (await harness.guard.attach(attachment(policy), signal && { signal })).caCertificatePem);
  return { guest, attachment, attach };
}

async function assertNarrow({ guest }: Machine): Promise<void> {
  assert.equal((await ask(guest, "api.test")).text, "ok");
  await assert.rejects(guest.connect("wide.test:443"), (error) => error instanceof ConnectRefused);
}

/** Ends the worker and resolves when it is gone; its successor comes a moment later. */
async function endWorker(): Promise<number> {
  const [pid] = harness.guard.workerPids;
  process.kill(pid!, "SIGKILL");
  while (existsSync(`/proc/${pid}`)) await turn();
  return pid!;
}

/** Resolves in the turn in which the next worker was started, long before it does anything. */
async function workerAfter(old: number): Promise<void> {
  while (harness.guard.workerPids.length === 0 || harness.guard.workerPids[0] === old) await turn();
}

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  const began = performance.now();
  try {
    return await promise;
  } finally {
    const took = Math.round(performance.now() - began);
    assert.ok(took < milliseconds, `${took} ms`);
  }
}

test("an attach that is cancelled on its way is not served afterwards", async (t) => {
  const { guest, attach } = await machine(t);
  const [pid] = harness.guard.workerPids;
  const cancel = new AbortController();
  process.kill(pid!, "SIGSTOP");
  const attached = attach(wide, cancel.signal);
  cancel.abort(new Error("The caller has left"));
  await assert.rejects(attached, /The caller has left/);
  process.kill(pid!, "SIGCONT");
  await (await machine(t)).attach(narrow);
  await sleep(soon);
  assert.equal(guest.sessions, 0);
});

test("of attaches in quick succession the newest is served, alone, from when it resolves", async (t) => {
  let open = 0;
  const { attach } = await machine(t, (socket) => {
    open++;
    socket.once("close", () => open--);
    void answerSync(socket).then(() => socket.resume());
  });
  const outcomes = Promise.allSettled(Array.from({ length: 10 }, () => attach(wide)));
  await attach(narrow);
  for (const { status } of await outcomes) assert.equal(status, "rejected");
  await sleep(soon);
  assert.equal(open, 1);

  const real = await machine(t);
  const earlier = Promise.allSettled([real.attach(wide), real.attach(wide)]);
  await real.attach(narrow);
  await assertNarrow(real);
  for (const outcome of await earlier)
    assert.equal(outcome.status === "rejected" && (outcome.reason as { code: string }).code, "cancelled");
});

test("an attach that fails ends what was served before, and not what comes after", async (t) => {
  const one = await machine(t);
  await one.attach(wide);
  await one.guest.session();
  const cancel = new AbortController();
  const failing = one.attach(narrow, cancel.signal);
  cancel.abort(new Error("The caller has left"));
  await assert.rejects(failing);
  await (await machine(t)).attach(narrow);
  const { sessions } = one.guest;
  await sleep(soon);
  assert.equal(one.guest.sessions, sessions);

  const again = new AbortController();
  const outrun = assert.rejects(one.attach(wide, again.signal));
  again.abort(new Error("The caller has left"));
  await one.attach(narrow);
  await outrun;
  await assertNarrow(one);
});

test("an attach while the worker is away is done when it is back, and replaces what was attached before", async (t) => {
  const [before, fresh, pending] = [await machine(t), await machine(t), await machine(t)];
  await before.attach(wide);
  const lost = pending.attach(wide);
  await endWorker();
  await within(restart, Promise.all([before.attach(narrow), fresh.attach(narrow), lost]));
  await assertNarrow(before);
  await assertNarrow(fresh);
  assert.equal((await ask(pending.guest, "wide.test")).text, "ok");
});

test("an attach while everything is being attached again wins over what was attached before", async (t) => {
  const one = await machine(t);
  await one.attach(wide);
  await workerAfter(await endWorker());
  await within(restart, one.attach(narrow));
  await sleep(soon);
  await assertNarrow(one);
});

test("a detach while the worker is away is done at once, and holds", async (t) => {
  const one = await machine(t);
  await one.attach(wide);
  await one.guest.session();
  await endWorker();
  await within(5_000, harness.guard.detach(one.attachment(wide).sandboxId));
  const { sessions } = one.guest;
  await (await machine(t)).attach(narrow);
  await sleep(soon);
  assert.equal(one.guest.sessions, sessions);
});

test("a detach ends an attach that is on its way", async (t) => {
  const one = await machine(t);
  const attached = assert.rejects(one.attach(wide), { code: "cancelled" });
  await harness.guard.detach(one.attachment(wide).sandboxId);
  await attached;
  await sleep(soon);
  assert.equal(one.guest.sessions, 0);
});

test("who attaches when the proxy closes is told so", async () => {
  const other = await startHarness({ workers: 1 });
  const attachment = { sandboxId: "sbx_late", socketPath: join(other.directory, "none.sock"), policy: {}, secrets: [] };
  const pending = assert.rejects(other.guard.attach(attachment), { code: "unavailable" });
  await other.close();
  await pending;
  await assert.rejects(other.guard.attach(attachment), { code: "unavailable" });
  await other.guard.detach(attachment.sandboxId);
});
