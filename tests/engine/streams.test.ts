/** Bytes in and out of a machine: order, size, back-pressure, ends. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { operationError } from "@caisson/protocol";
import { create, withEngine } from "./engine.ts";

test("streams of one machine", { timeout: 240_000 }, async (t) => {
  await withEngine({}, async (node) => {
    const machine = await create(node);
    const { agent } = machine;

    await t.test("16 MiB go in and come back unchanged", async () => {
      const bytes = randomBytes(16 * 2 ** 20);
      const { pid, stdinStream, stdoutStream } = await agent.processes.spawn({
        command: "cat",
        stdin: true,
        stdout: true,
      });
      const received = createHash("sha256");
      await Promise.all([
        pipeline(Readable.from([bytes]), agent.writeStream(stdinStream)),
        pipeline(agent.readStream(stdoutStream), received),
      ]);
      assert.equal(received.digest("hex"), createHash("sha256").update(bytes).digest("hex"));
      assert.equal((await agent.processes.wait({ pid })).code, 0);
    });

    await t.test("a reader that waits makes the writer wait", async () => {
      const { pid, stdoutStream } = await agent.processes.spawn({
        command: "sh",
        args: ["-c", "yes | tee /dev/null"],
        stdout: true,
      });
      const output = agent.readStream(stdoutStream);
      await new Promise((resolve) => output.once("readable", resolve));
      await sleep(1500);
      assert.ok(output.readableLength < 2 * 2 ** 20, `${output.readableLength} bytes were taken from the guest`);
      output.destroy();
      // Nobody reads any more: the writer ends by SIGPIPE.
      const { code, signal } = await agent.processes.wait({ pid });
      assert.ok(code !== 0 || signal !== "");
    });

    await t.test("writing to a program that has ended fails with EPIPE", async () => {
      const { pid, stdinStream } = await agent.processes.spawn({ command: "true", stdin: true });
      await agent.processes.wait({ pid });
      const input = agent.writeStream(stdinStream);
      const failed = new Promise<NodeJS.ErrnoException>((resolve) => input.once("error", resolve));
      input.write(randomBytes(2 ** 20));
      const error = await failed;
      assert.ok(error.code === "EPIPE" || error.code === "not_found", error.code);
    });

    await t.test("a stream that does not exist is an error", async () => {
      const error = await new Promise<NodeJS.ErrnoException>((resolve) =>
        agent.readStream(999_999n).once("error", resolve),
      );
      assert.equal(error.code, "not_found");
    });

    await t.test("a failed system call arrives with its name", async () => {
      const error: unknown = await agent.files.stat({ path: "/nowhere" }).catch((thrown: unknown) => thrown);
      assert.equal(operationError(error)?.errno, "ENOENT");
      assert.equal(operationError(new Error("other")), undefined);
    });

    await t.test("a connection into the machine", async () => {
      await agent.processes.spawn({ command: "python3", args: ["-m", "http.server", "8123", "--bind", "127.0.0.1"] });
      let socket;
      for (let attempt = 0; socket === undefined; attempt++) {
        socket = await agent.dial("127.0.0.1", 8123).catch(async (error: unknown) => {
          if (attempt > 100) throw error;
          await sleep(100);
          return undefined;
        });
      }
      socket.end("GET / HTTP/1.0\r\n\r\n");
      let answer = "";
      for await (const chunk of socket) answer += String(chunk);
      assert.match(answer, /^HTTP\/1\.0 200/);
      await assert.rejects(agent.dial("127.0.0.1", 9), { code: "unavailable" });
    });
  });
});
