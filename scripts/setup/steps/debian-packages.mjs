/** Debian packages of the host: the machine monitor, its jail, and what builds images. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../command.mjs";
import { hostCodename, hostMirror } from "../debian-mirror.mjs";
import { SetupFailure } from "../failure.mjs";
import { findGo, requiredGo } from "../go.mjs";
import { cache } from "../paths.mjs";

/**
 * `major`: lowest major version. `backports`: Debian 12's own is too old, so there it comes from its backports.
 * `unless`: not needed when this says so.
 * @type {readonly { name: string, why: string, major?: number, backports?: true, unless?: () => boolean, purpose?: "test" }[]}
 */
const packages = [
  {
    name: "qemu-system-x86",
    why: "runs the microVMs; 10.0 is the version that was measured",
    major: 10,
    backports: true,
  },
  { name: "qemu-utils", why: "makes and grows disk images (qemu-img)", major: 10, backports: true },
  { name: "bubblewrap", why: "QEMU's jail: its own namespaces" },
  { name: "e2fsprogs", why: "formats disks (mkfs.ext4)" },
  { name: "mmdebstrap", why: "puts the base image together from Debian packages" },
  { name: "erofs-utils", why: "writes the base image (mkfs.erofs)" },
  { name: "xz-utils", why: "unpacks kernel modules" },
  { name: "debian-archive-keyring", why: "proves that packages of the base image are Debian's" },
  { name: "uidmap", why: "builds the base image without root", unless: () => process.getuid?.() === 0 },
  { name: "g++", why: "compiles the native cryptography of the SSH library, and a library of the base image" },
  { name: "make", why: "compiles the native cryptography of the SSH library" },
  { name: "python3", why: "node-gyp, which compiles it, is written in it" },
  { name: "golang-go", why: "compiles the guest agent", backports: true, unless: () => findGo() !== null },
  { name: "postgresql", why: "tests run the store on a server of their own", purpose: "test" },
  { name: "python3-venv", why: "tests use the official Python client", purpose: "test" },
  { name: "openssh-client", why: "tests log in by SSH", purpose: "test" },
  { name: "openssh-sftp-server", why: "tests of the SSH gateway without a machine", purpose: "test" },
  { name: "putty-tools", why: "tests log in by SSH with PuTTY's programs", purpose: "test" },
  { name: "dropbear-bin", why: "tests log in by SSH with dropbear's program", purpose: "test" },
  { name: "rsync", why: "tests copy trees by SSH", purpose: "test" },
  { name: "sqlite3", why: "tests make the backup of docs/backup.md", purpose: "test" },
  { name: "tmux", why: "tests use a terminal by SSH", purpose: "test" },
  { name: "vim-tiny", why: "tests use an editor by SSH", purpose: "test" },
  { name: "git", why: "tests and checks ask which files are the project's", purpose: "test" },
];

const backportsFile = "/etc/apt/sources.list.d/caisson-backports.sources";
const isRoot = () => process.getuid?.() === 0;

/** @param {string} version such as "1:10.0.2+ds-2" @returns {number} 10 */
export const majorVersion = (version) => Number(/^(?:\d+:)?(\d+)/.exec(version)?.[1] ?? 0);

/** @returns {Map<string, string>} version of each of these packages that is installed */
function installedVersions(names) {
  const { stdout, error } = spawnSync(
    "dpkg-query",
    ["--show", "--showformat", "${db:Status-Status}|${Package}|${Version}\n", ...names],
    {
      encoding: "utf8",
    },
  );
  if (error !== undefined) {
    throw new SetupFailure(`dpkg-query cannot be run: ${error.message}`, "Caisson runs on Debian 12 or 13 (x86-64).");
  }
  const lines = stdout.split("\n").map((line) => line.split("|"));
  return new Map(lines.filter(([status]) => status === "installed").map(([, name, version]) => [name, version]));
}

/**
 * @param {"start" | "demo" | "test" | "vscode"} purpose
 * @returns {import("../runner.mjs").Step}
 */
export function debianPackages(purpose) {
  const wanted = packages.filter((entry) => entry.purpose === undefined || entry.purpose === purpose);
  /** @type {typeof packages} */
  let absent = [];
  return {
    name: "Debian packages",
    needed() {
      if (process.platform !== "linux" || process.arch !== "x64") {
        throw new SetupFailure(
          `This is ${process.platform} on ${process.arch}.`,
          "Caisson runs on Linux on x86-64, Debian 12 or 13.",
        );
      }
      const installed = installedVersions(wanted.map(({ name }) => name));
      absent = wanted.filter(({ name, major = 0, unless }) => {
        const version = installed.get(name);
        return (version === undefined || majorVersion(version) < major) && unless?.() !== true;
      });
      return absent.length === 0 ? null : `${absent.length} missing or too old`;
    },
    plan() {
      const lines = absent.map(({ name, why }) => `${name}: ${why}`);
      if (backportsMissing(absent))
        lines.push(`a source of packages, ${backportsFile}: backports, from the mirror this host uses`);
      if (!isRoot()) lines.push("(apt-get is run by sudo)");
      return lines;
    },
    run: (progress) => install(absent, progress),
  };
}

const backportsMissing = (absent) =>
  hostCodename() === "bookworm" &&
  absent.some(({ backports }) => backports) &&
  !existsSync(backportsFile) &&
  !hostMirror().releases.includes("bookworm-backports");

/** @param {typeof packages} absent @param {(line: string) => void} progress */
async function install(absent, progress) {
  askForPassword(absent);
  if (backportsMissing(absent)) await addBackports(progress);
  if (absent.some(({ name }) => name === "postgresql")) await keepPostgresStopped(progress);
  await aptGet(["update"], progress);
  const fromBackports = hostCodename() === "bookworm" ? absent.filter(({ backports }) => backports) : [];
  const fromRelease = absent.filter((entry) => !fromBackports.includes(entry));
  const options = ["install", "--yes", "--no-install-recommends"];
  if (fromRelease.length > 0) await aptGet([...options, ...fromRelease.map(({ name }) => name)], progress);
  // The whole release is made eligible, as QEMU's own dependencies are backports too.
  if (fromBackports.length > 0) {
    await aptGet(
      [...options, "--target-release", "bookworm-backports", ...fromBackports.map(({ name }) => name)],
      progress,
    );
  }
  const installed = installedVersions(absent.map(({ name }) => name));
  for (const { name, major = 0 } of absent) {
    const version = installed.get(name);
    if (version === undefined || majorVersion(version) < major) {
      throw new SetupFailure(
        `${name} is ${version ?? "not installed"}; version ${major} is needed.`,
        "Caisson runs on Debian 12 or 13.",
      );
    }
  }
  if (absent.some(({ name }) => name === "golang-go") && findGo() === null) {
    throw new SetupFailure(
      `Debian's Go is older than ${requiredGo().join(".")}, which agent/go.mod asks for.`,
      "Put a newer `go` on PATH and start again.",
    );
  }
}

/** sudo asks on the terminal, which must not happen below a moving line. */
function askForPassword(absent) {
  if (isRoot()) return;
  const { status, error } = spawnSync("sudo", process.stdin.isTTY ? ["--validate"] : ["--non-interactive", "true"], {
    stdio: "inherit",
  });
  if (status === 0 && error === undefined) return;
  const names = absent.map(({ name }) => name).join(" ");
  const release = backportsMissing(absent) ? " (after adding bookworm-backports as a source of packages)" : "";
  throw new SetupFailure(
    error === undefined ? "sudo refused." : `sudo cannot be run: ${error.message}`,
    `Ask an administrator of this host to run: apt-get install ${names}${release}`,
  );
}

/** @param {readonly string[]} args @param {(line: string) => void} progress */
const aptGet = (args, progress) =>
  asRoot(
    ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300", ...args],
    "Read the lines above. If another package manager is running, let it end; if the mirror cannot be reached, check the " +
      "network and /etc/apt/sources.list.d. Then start again.",
    progress,
  );

/** @param {readonly string[]} command @param {string} remedy @param {(line: string) => void} progress */
function asRoot(command, remedy, progress) {
  const [name = "", ...args] = isRoot() ? command : ["sudo", "--non-interactive", ...command];
  return run(name, args, { log: "setup-debian-packages", progress, remedy });
}

/** @param {(line: string) => void} progress */
function addBackports(progress) {
  const { main, signedBy } = hostMirror();
  const lines = ["# Made by Caisson's set-up: Debian 12's own QEMU and Go are too old.", "Types: deb", `URIs: ${main}`];
  lines.push("Suites: bookworm-backports", "Components: main");
  lines.push(`Signed-By: ${signedBy ?? "/usr/share/keyrings/debian-archive-keyring.gpg"}`, "");
  return writeAsRoot(backportsFile, lines.join("\n"), progress);
}

/** Tests start servers of their own; nobody asked for one that runs all the time. */
async function keepPostgresStopped(progress) {
  if (installedVersions(["postgresql-common"]).size > 0) return;
  const file = "/etc/postgresql-common/createcluster.conf";
  await writeAsRoot(
    file,
    "# Made by Caisson's set-up: its tests start servers of their own.\ncreate_main_cluster = false\n",
    progress,
  );
}

/** @param {string} path @param {string} text @param {(line: string) => void} progress */
async function writeAsRoot(path, text, progress) {
  const remedy = `Make ${path} by hand, or let this user run sudo.`;
  mkdirSync(cache, { recursive: true });
  const draft = join(cache, `.draft-file-${process.pid}`);
  writeFileSync(draft, text);
  await asRoot(["install", "-D", "-m", "0644", draft, path], remedy, progress);
  rmSync(draft);
}
