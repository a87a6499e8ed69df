/**
 * The image of VS Code for browsers: code-server from npm with the parts that run in a sandbox. Scripts of packages do not run;
 * the two native parts that come without a binary for Linux are compiled here, for the Node.js of the base image.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vscodeArtifact } from "../artifacts.mjs";
import { run } from "../command.mjs";
import { keepNewest, makeWhole } from "../draft.mjs";
import { SetupFailure } from "../failure.mjs";
import { root } from "../paths.mjs";

const log = "setup-vscode-image";
const recipe = join(root, "images/vscode");
const node = join(root, "node_modules/.bin/node");
const platform = `linux-${process.arch}`;
const remedy =
  "Check that the npm registry can be reached (npm ping), that g++ and make are installed, and that 2 GB are free where temporary files are kept.";

/** Compiled here. Without the first the editor writes no log files; without the second its processes outlive it when it is killed. */
const compiled = ["@vscode/spdlog", "@vscode/native-watchdog"];

/** Below `lib/vscode`: for other systems, sources of native parts, and assistants that need an account elsewhere. */
const unused = [
  "extensions/copilot",
  "extensions/microsoft-authentication",
  "node_modules/@github/copilot-sdk-linux-x64",
  "node_modules/@microsoft/mxc-sdk/bin",
  "node_modules/@parcel/watcher-linux-x64-musl",
  "node_modules/@vscode/spdlog/deps",
  "node_modules/@vscode/spdlog/build/Release/obj.target",
  "node_modules/@vscode/sqlite3",
  "node_modules/@vscode/windows-process-tree",
  "node_modules/@vscode/windows-registry",
  "node_modules/cpu-features",
  "node_modules/nan",
  "node_modules/node-pty/deps",
  "node_modules/node-pty/third_party",
];
/** Below `lib/vscode`: folders with one entry for each system. */
const bySystem = ["node_modules/@vscode/ripgrep-universal/bin", "node_modules/node-pty/prebuilds"];

/** @returns {import("../runner.mjs").Step} */
export function vscodeImage() {
  const artifact = vscodeArtifact();
  return {
    name: "VS Code",
    needed: () => (existsSync(artifact.image) ? null : "not built from this recipe"),
    plan: () => [
      `code-server ${codeServer().version} and its packages from the npm registry (about 200 MB)`,
      "one to three minutes; takes 110 MB in the cache",
    ],
    async run(progress) {
      await makeWhole(artifact.directory, (draft) => build(draft, progress));
      keepNewest(join(artifact.directory, ".."), 2, artifact.directory);
    },
  };
}

/** @returns {{ version: string, integrity: string }} */
const codeServer = () => JSON.parse(readFileSync(join(recipe, "image.json"), "utf8"));

/** @param {string} draft @param {(line: string) => void} progress */
async function build(draft, progress) {
  const work = mkdtempSync(join(tmpdir(), "caisson-vscode-"));
  const options = { log, progress, remedy };
  try {
    const { version, integrity } = codeServer();
    const archive = await download(`code-server@${version}`, work, options);
    const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
    if (found !== integrity) {
      throw new SetupFailure(
        `code-server ${version} is not what images/vscode/image.json says: ${found}`,
        "Do not use it. Ask who runs the npm registry that this host is set up for.",
      );
    }
    await run("tar", ["-xzf", archive, "-C", work], options);
    const editor = join(work, "package");
    const vscode = join(editor, "lib/vscode");
    // The packages' lists of exact versions go with them.
    const flags = ["install", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"];
    for (const cwd of [editor, vscode, join(vscode, "extensions")]) await run("npm", flags, { ...options, cwd });
    await compile(vscode, work, options);
    // As code-server's own set-up.
    for (const [target, name] of [
      ["code-linux.sh", "bin/remote-cli/code-server"],
      ["browser-linux.sh", "bin/helpers/browser.sh"],
    ]) {
      rmSync(join(vscode, name), { force: true });
      symlinkSync(target, join(vscode, name));
    }
    shrink(editor);
    cpSync(join(recipe, "extension"), join(vscode, "extensions/caisson-sandbox"), { recursive: true });
    cpSync(join(recipe, "start.cjs"), join(editor, "start.cjs"));
    chmodSync(join(editor, "start.cjs"), 0o755);
    await tryOut(editor, work, options);
    await run("mkfs.erofs", ["--quiet", "-zlz4hc", "-T0", "--all-root", join(draft, "vscode.erofs"), editor], options);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** @returns {Promise<string>} the archive of an npm package */
async function download(name, folder, options) {
  const answer = await run("npm", ["pack", "--json", name], { ...options, cwd: folder, progress: () => {} });
  return join(folder, JSON.parse(answer)[0].filename);
}

/** node-gyp gets the headers from the npm package of Node.js, so that nothing else is downloaded. */
async function compile(vscode, work, options) {
  const { packages } = JSON.parse(readFileSync(join(root, "images/debian-13/runtimes.json"), "utf8"));
  const { name, version } = packages.find((entry) => entry.name.startsWith("node-linux-"));
  const headers = join(work, "headers");
  await run("mkdir", [headers], options);
  const archive = await download(`${name}@${version}`, headers, options);
  await run("tar", ["-xzf", archive, "-C", headers, "package/include"], options);
  const nodedir = join(headers, "package");
  const gyp = join(root, "node_modules/node-gyp/bin/node-gyp.js");
  for (const part of compiled) {
    const cwd = join(vscode, "node_modules", part);
    // npm passes its own configuration on to what it runs, and node-gyp prefers that to its arguments.
    const env = { npm_config_nodedir: nodedir, npm_package_config_node_gyp_nodedir: nodedir };
    await run(node, [gyp, "rebuild", `--nodedir=${nodedir}`], { ...options, cwd, env });
  }
}

/** Starts the editor once, which shows that it works, and keeps what Node.js compiled. */
async function tryOut(editor, work, options) {
  const config = join(work, "config.yaml");
  writeFileSync(config, "auth: none\n");
  const data = join(work, "data");
  const folders = ["--config", config, "--user-data-dir", data, "--extensions-dir", join(data, "extensions")];
  await run(node, [join(editor, "start.cjs"), ...folders, "--bind-addr", "127.0.0.1:0", "--disable-proxy", work], {
    ...options,
    env: { HOME: work, CAISSON_VSCODE_COMPILE: "1" },
    timeoutSeconds: 300,
  });
}

/** Removes what no sandbox uses. @param {string} editor */
function shrink(editor) {
  const vscode = join(editor, "lib/vscode");
  for (const path of unused) rmSync(join(vscode, path), { recursive: true, force: true });
  for (const folder of bySystem) {
    for (const name of readdirSync(join(vscode, folder)))
      if (name !== platform) rmSync(join(vscode, folder, name), { recursive: true });
  }
  rmSync(join(editor, "src"), { recursive: true, force: true });
  for (const path of readdirSync(editor, { recursive: true, encoding: "utf8" }))
    if (path.endsWith(".map")) rmSync(join(editor, path), { force: true });
}
