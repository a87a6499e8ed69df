/** One sandbox that opens many connections at once and holds them, and one that only wants an answer now and then. */
import type { Sandbox } from "@deno/sandbox";
import { within } from "@caisson/testing";

const crowd = `
import asyncio, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = []
async def one(index):
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 60)
        writer.write(b"\\0hello from %d" % index)
        answer = await asyncio.wait_for(reader.read(100), 60)
        held.append((reader, writer))
        return b"reached" in answer
    except (OSError, asyncio.TimeoutError) as error:
        return type(error).__name__
async def main():
    answers = await asyncio.gather(*(one(index) for index in range(count)))
    print(sum(answer is True for answer in answers), sorted({str(answer) for answer in answers}), flush=True)
    # Keeps all of them busy until the input ends.
    async def chat(reader, writer):
        while True:
            writer.write(b"x" * 1000)
            await writer.drain()
            if not await reader.read(4096): return
            await asyncio.sleep(0.5)
    chats = [asyncio.create_task(chat(*pair)) for pair in held]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in chats: task.cancel()
asyncio.run(main())
`;

export interface Crowd {
  /** Connections that were opened and answered. */
  readonly held: number;
  /** What the others ended with. */
  readonly words: string;
  end(): Promise<void>;
}

/** Resolves when all connections are open, or have failed. */
export async function holdConnections(sandbox: Sandbox, host: string, port: number, count: number): Promise<Crowd> {
  await sandbox.fs.writeTextFile("/tmp/crowd.py", crowd);
  const child = await sandbox.spawn("bash", {
    args: ["-c", `ulimit -n 4096; exec python3 /tmp/crowd.py ${host} ${port} ${count}`],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  });
  const reader = child.stdout?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) throw new Error("The crowd's output is missing.");
  const words = (await within(120_000, `${count} connections`, reader.read())).value ?? "";
  return {
    held: Number.parseInt(words, 10),
    words,
    async end() {
      await child.kill("SIGKILL");
      await child.status;
    },
  };
}

const clock = `
import http.client, ssl, sys, time
host, count = sys.argv[1], int(sys.argv[2])
connection = http.client.HTTPSConnection(host, timeout=30)
times = []
for _ in range(count):
    began = time.perf_counter()
    connection.request("GET", "/")
    connection.getresponse().read()
    times.append((time.perf_counter() - began) * 1000)
print(*times)
`;

/** Milliseconds of requests over one HTTPS connection, as a program in the sandbox sees them, sorted. */
export async function requestTimes(sandbox: Sandbox, host: string, count: number): Promise<number[]> {
  await sandbox.fs.writeTextFile("/tmp/clock.py", clock);
  const child = await sandbox.spawn("python3", {
    args: ["/tmp/clock.py", host, String(count)],
    stdout: "piped",
    stderr: "piped",
  });
  const { status, stdoutText, stderrText } = await within(120_000, "the requests", child.output());
  if (!status.success) throw new Error(stderrText ?? "");
  return (stdoutText ?? "")
    .trim()
    .split(" ")
    .map(Number)
    .toSorted((a, b) => a - b);
}
