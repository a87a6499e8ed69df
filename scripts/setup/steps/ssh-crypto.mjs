/**
 * The native cryptography of the SSH library, built for the Node.js that runs the server. npm builds it for the Node.js that runs npm, or
 * leaves it out without a word. The headers come from the npm package that Node.js itself came in.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../command.mjs";
import { SetupFailure } from "../failure.mjs";
import { root } from "../paths.mjs";

const folder = join(root, "node_modules/ssh2/lib/protocol/crypto");
const binding = join(folder, "build/Release/sshcrypto.node");
const node = join(root, "node_modules/.bin/node");
const log = "setup-ssh-crypto";

/** @returns {string} such as 24.21.0 */
function nodeVersion() {
  return spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim().replace(/^v/, "");
}

/** A binding of another Node.js is not loaded, or is loaded and then not there. */
function loads() {
  const code = "process.exit(typeof require(process.argv[1]).AESGCMCipher === 'function' ? 0 : 1)";
  return spawnSync(node, ["-e", code, binding], { stdio: "ignore" }).status === 0;
}

/** @returns {import("../runner.mjs").Step} */
export function sshCrypto() {
  return {
    name: "SSH cryptography",
    needed() {
      if (!existsSync(binding)) return "not built";
      return loads() ? null : "built for another Node.js";
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
        const nodedir = join(headers, "package");
        await run(node, [gyp, "rebuild", `--nodedir=${nodedir}`, "--real_openssl_major=3"], {
          cwd: folder,
          // npm passes its own configuration on to what it runs, and node-gyp prefers that to its arguments.
          env: { npm_config_nodedir: nodedir, npm_package_config_node_gyp_nodedir: nodedir },
          log,
          progress,
          remedy,
        });
        if (!loads()) throw new SetupFailure(`Node.js ${version} cannot load what was built: ${binding}`, remedy);
      } finally {
        rmSync(headers, { recursive: true, force: true });
      }
    },
  };
}
