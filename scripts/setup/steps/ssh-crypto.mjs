/**
 * The native cryptography of the SSH library, built for the Node.js that runs the server. npm builds it for the Node.js that runs npm, or
 * leaves it out without a word. The headers come from the npm package that Node.js itself came in.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../command.mjs";
import { root } from "../paths.mjs";

const folder = join(root, "node_modules/ssh2/lib/protocol/crypto");
const binding = join(folder, "build/Release/sshcrypto.node");
const stamp = join(folder, "build/caisson-node-version");
const node = join(root, "node_modules/.bin/node");
const log = "setup-ssh-crypto";

/** @returns {string} such as 24.21.0 */
function nodeVersion() {
  return spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim().replace(/^v/, "");
}

/** @returns {import("../runner.mjs").Step} */
export function sshCrypto() {
  return {
    name: "SSH cryptography",
    needed() {
      if (!existsSync(binding) || !existsSync(stamp)) return "not built";
      return readFileSync(stamp, "utf8") === nodeVersion() ? null : "built for another Node.js";
    },
    plan: () => ["the headers of Node.js 24 from npm, and a build of the SSH library's native part"],
    async run(progress) {
      const version = nodeVersion();
      const headers = mkdtempSync(join(tmpdir(), "caisson-headers-"));
      try {
        const remedy = "Check that the npm registry can be reached (npm ping) and that g++ and make are installed.";
        await run("npm", ["pack", `node-linux-${process.arch}@${version}`, "--pack-destination", headers], {
          cwd: headers,
          log,
          progress,
          remedy,
        });
        const archive = join(headers, `node-linux-${process.arch}-${version}.tgz`);
        await run("tar", ["-xzf", archive, "-C", headers, "package/include"], { log, progress, remedy });
        rmSync(archive);
        const gyp = join(root, "node_modules/node-gyp/bin/node-gyp.js");
        const options = [`--nodedir=${join(headers, "package")}`, "--real_openssl_major=3"];
        await run(node, [gyp, "rebuild", ...options], { cwd: folder, log, progress, remedy });
        mkdirSync(join(folder, "build"), { recursive: true });
        writeFileSync(stamp, version);
      } finally {
        rmSync(headers, { recursive: true, force: true });
      }
    },
  };
}
