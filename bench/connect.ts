/**
 * Connections from inside a sandbox: connect(), and the first byte of an answer after it, by a Python program to an echo server on this host.
 * `node bench/connect.ts [--runs 300]`
 */
import { createServer, type AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { quantiles, report } from "./report.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "300" }, json: { type: "boolean" } } });
const host = "echo.bench.example";
const server = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const { port } = server.address() as AddressInfo;
const platform = await startPlatform({
  config: { pool: { size: 0 }, logLevel: "warn", egress: { resolve: { [host]: `127.0.0.1:${port}` } } },
});
Object.assign(process.env, platform.env);

/** Prints two times in milliseconds a line: until connect() has returned, and until an answer was there. */
const program = `
import socket, sys, time
address = socket.gethostbyname("${host}")
for turn in range(${Number(values.runs)} + 20):
    began = time.perf_counter()
    one = socket.create_connection((address, 7))
    connected = time.perf_counter()
    one.sendall(b"\\0x\\n"); one.recv(9)
    answered = time.perf_counter()
    one.close()
    if turn >= 20: print((connected - began) * 1000, (answered - began) * 1000)
`;

try {
  await using sandbox = await Sandbox.create({ allowNet: [host] });
  const child = await sandbox.spawn("python3", { args: ["-c", program], stdout: "piped", stderr: "inherit" });
  const { stdoutText } = await child.output();
  const lines = (stdoutText ?? "")
    .trim()
    .split("\n")
    .map((line) => line.split(" ").map(Number));
  const [connected, answered] = [0, 1].map((column) => quantiles(lines.map((line) => line[column]!)));
  report({
    "connect(), p50 ms": connected!.p50,
    "connect(), p99 ms": connected!.p99,
    "connect() and the first byte of an answer, p50 ms": answered!.p50,
    "connect() and the first byte of an answer, p99 ms": answered!.p99,
  });
} finally {
  await platform.stop(30_000);
  server.close();
}
