/** The base image `builtin:debian-13`: Debian packages, language runtimes and the guest kernel, by the recipe in images/. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { baseArtifact } from "../artifacts.mjs";
import { run } from "../command.mjs";
import { hostMirror } from "../debian-mirror.mjs";
import { makeWhole } from "../draft.mjs";
import { SetupFailure } from "../failure.mjs";
import { root } from "../paths.mjs";

const recipe = join(root, "images/debian-13");
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
/** In the root while it is built; never part of the image. */
const outputFolder = "/.caisson";

/** @param {string} text lines with comments after # @returns {string[]} */
export const wordsOf = (text) =>
  text
    .replace(/#.*$/gm, "")
    .split(/\s+/)
    .filter((word) => word !== "");

/** @param {string} text lines of name, tab, version @returns {Record<string, string>} */
export const versionsOf = (text) =>
  Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => line.split("\t")),
  );

/** @returns {import("../runner.mjs").Step} */
export function baseImage() {
  const artifact = baseArtifact();
  return {
    name: "Base image",
    needed: () => (existsSync(artifact.manifest) ? null : "not built from this recipe"),
    plan() {
      const runtimes = runtimePackages().map(({ name, version }) => `${name} ${version}`);
      return [
        "Debian 13 packages and its cloud kernel, from the mirror this host uses (about 130 MB)",
        `${runtimes.join(", ")} from the npm registry (about 100 MB)`,
        "about a minute; takes 600 MB in the cache",
      ];
    },
    run: (progress) => makeWhole(artifact.directory, (draft) => build(draft, progress)),
  };
}

/** @returns {readonly { name: string, version: string, integrity: string }[]} */
const runtimePackages = () => JSON.parse(readFileSync(join(recipe, "runtimes.json"), "utf8")).packages;

/** @param {string} draft @param {(line: string) => void} progress */
async function build(draft, progress) {
  const { main, security } = hostMirror();
  // Without root the build runs as a mapped user, who must be able to read the recipe and what was downloaded: the
  // repository may lie in a home that only its owner may enter.
  const work = mkdtempSync(join(tmpdir(), "caisson-image-"));
  chmodSync(work, 0o755);
  try {
    cpSync(recipe, join(work, "recipe"), { recursive: true });
    await downloadRuntimes(join(work, "runtimes"), progress);
    await compileTrustLibrary(work, progress);
    const { suite, variant, kernel } = JSON.parse(readFileSync(join(recipe, "image.json"), "utf8"));
    const sources = [suite, `${suite}-updates`].map((name) => `deb ${main} ${name} main`);
    if (security !== null) sources.push(`deb ${security} ${suite}-security main`);
    const hooks = ["kernel", "customize", "pack"].map(
      (name) => `--customize-hook=${join(work, "recipe/hooks", `${name}.sh`)}`,
    );
    const packages = wordsOf(readFileSync(join(recipe, "packages.txt"), "utf8"));
    const output = join(draft, "output");
    mkdirSync(output);
    await run(
      "mmdebstrap",
      [
        `--mode=${process.getuid?.() === 0 ? "root" : "unshare"}`,
        `--variant=${variant}`,
        "--format=null",
        // The root is thrown away as soon as the image is written.
        "--skip=cleanup",
        `--keyring=${keyring}`,
        `--include=${packages.join(",")}`,
        `--dpkgopt=${join(work, "recipe/dpkg.cfg")}`,
        '--aptopt=Acquire::Languages "none"',
        ...hooks,
        `--customize-hook=sync-out ${outputFolder} ${output}`,
        suite,
        "/dev/null",
        ...sources,
      ],
      {
        cwd: work,
        env: {
          RECIPE: join(work, "recipe"),
          RUNTIMES: join(work, "runtimes"),
          TRUST_LIBRARY: join(work, trustLibrary),
          OUT: outputFolder,
          MAIN_URI: main,
          SECURITY_URI: security ?? "",
          SUITE: suite,
          KERNEL_PACKAGE: kernel,
        },
        log: "setup-base-image",
        progress,
        remedy:
          "If packages could not be downloaded, check that this host's Debian mirror has trixie. If a signature was not " +
          "accepted, upgrade debian-archive-keyring. If the disk is full, make 3 GB free where temporary files are kept.",
      },
    );
    await takeOver(output, draft);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** @param {string} folder @param {(line: string) => void} progress */
async function downloadRuntimes(folder, progress) {
  mkdirSync(folder);
  for (const { name, version, integrity } of runtimePackages()) {
    progress(`${name} ${version}`);
    const answer = await run("npm", ["pack", "--json", `${name}@${version}`], {
      cwd: folder,
      log: "setup-base-image",
      progress: () => {},
      remedy: "Check that the npm registry can be reached (npm ping) and start again.",
    });
    const archive = join(folder, JSON.parse(answer)[0].filename);
    const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
    if (found !== integrity) {
      throw new SetupFailure(
        `${name} ${version} is not what images/debian-13/runtimes.json says: ${found}`,
        "Do not use it. Ask who runs the npm registry that this host is set up for.",
      );
    }
    renameSync(archive, join(folder, `${name.replace(/^@/, "").replace("/", "-")}.tgz`));
  }
}

const trustLibrary = "trust-before-libasan.so";

/** @param {string} folder with the recipe @param {(line: string) => void} progress */
async function compileTrustLibrary(folder, progress) {
  const source = join(folder, "recipe", trustLibrary.replace(/so$/, "c"));
  // All symbols at once, as a program may open files before its own start. One segment less to map for code and constants, and nothing of
  // the compiler's own start: every program of a sandbox pays for them.
  const options = [
    "-std=c17",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fPIC",
    "-fno-builtin",
    "-shared",
    "-nostartfiles",
    "-Wl,-z,now",
    "-Wl,-z,noseparate-code",
    "-s",
  ];
  await run(
    "cc",
    [...options, `-Wl,-soname,${trustLibrary}`, "-Wl,--build-id=none", "-o", join(folder, trustLibrary), source],
    {
      cwd: folder,
      log: "setup-base-image",
      progress,
      remedy: "Check that Debian's package g++ is installed; the compiler of C comes with it.",
    },
  );
}

/** Moves what the build left into place and writes the manifest. @param {string} output @param {string} draft */
async function takeOver(output, draft) {
  for (const name of ["base.erofs", "vmlinuz", "modules"]) renameSync(join(output, name), join(draft, name));
  const hash = createHash("sha256");
  await pipeline(createReadStream(join(draft, "base.erofs"), { highWaterMark: 2 ** 20 }), hash);
  const manifest = {
    sha256: hash.digest("hex"),
    kernel: versionsOf(readFileSync(join(output, "kernel.tsv"), "utf8")),
    packages: versionsOf(readFileSync(join(output, "packages.tsv"), "utf8")),
    runtimes: Object.fromEntries(runtimePackages().map(({ name, version }) => [name, version])),
  };
  writeFileSync(join(draft, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  rmSync(output, { recursive: true });
}
