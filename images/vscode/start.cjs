#!/usr/bin/env node
/**
 * Starts the editor's server. code-server's own entry starts a second process and gives it ten seconds, which an emulated processor
 * does not keep. Here there is one process, and a signal ends it as a signal.
 */
"use strict";
const { enableCompileCache, flushCompileCache } = require("node:module");
// The set-up filled it; without it an emulated processor compiles for half a minute.
enableCompileCache({ directory: `${__dirname}/compiled`, portable: true });
process.env.CODE_SERVER_PARENT_PID = String(process.pid);
process.env.NODE_EXEC_PATH = process.execPath;
const http = require("node:http");
const net = require("node:net");
const { parse, readConfigFile, setDefaults } = require("./out/node/cli");
const { runCodeCli, runCodeServer, shouldSpawnCliProcess } = require("./out/node/main");
const { wrapper } = require("./out/node/wrapper");

if (process.env.CAISSON_VSCODE_STOP_BUTTON === "1") process.env.CAISSON_VSCODE_PROCESS_GROUP = String(process.pid);
delete process.env.CAISSON_VSCODE_STOP_BUTTON;

async function main() {
  const given = parse(process.argv.slice(2));
  const args = await setDefaults(given, await readConfigFile(given.config));
  if (shouldSpawnCliProcess(args)) {
    await runCodeCli(args);
    return;
  }
  // The editor's libraries end the process when they please.
  wrapper.preventExit();
  args.port = await freePort();
  await runCodeServer(args);
  for (const signal of ["SIGTERM", "SIGINT"]) process.removeAllListeners(signal);
  // The server loads VS Code with the first page; the visitor need not wait for that.
  http.get({ host: "127.0.0.1", port: args.port, path: "/" }, (answer) => {
    answer.resume();
    if (process.env.CAISSON_VSCODE_COMPILE !== "1") return;
    answer.once("end", () => {
      flushCompileCache();
      wrapper.exit(0);
    });
  });
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

main().catch((error) => {
  console.error(error instanceof Error ? error.message : error);
  wrapper.exit(1);
});
