/** Where volumes can be mounted in a sandbox. */
import { posix } from "node:path";
import { CaissonError } from "@caisson/protocol";

const maximumVolumes = 8;
const maximumBytes = 1024;
/** Without what is in these directories no sandbox works. Below some of them a volume is possible: `/etc/app`, `/usr/local`. */
const systemPaths = new Set([
  "/",
  "/proc",
  "/sys",
  "/dev",
  "/run",
  "/bin",
  "/sbin",
  "/lib",
  "/lib64",
  "/usr",
  "/etc",
  "/boot",
]);
/** File systems of the kernel: nothing can be mounted below them either. */
const kernelPaths = ["/proc/", "/sys/", "/dev/"];

/** @returns the paths in canonical form @throws CaissonError `invalid_argument` */
export function checkMountPaths(paths: readonly string[]): string[] {
  if (paths.length > maximumVolumes)
    throw invalid(`A sandbox can mount at most ${maximumVolumes} volumes, not ${paths.length}.`);
  const checked = paths.map(checkMountPath);
  const repeated = checked.find((path, index) => checked.indexOf(path) < index);
  if (repeated !== undefined) throw invalid(`Two volumes cannot be mounted at the same path, ${repeated}.`);
  return checked;
}

function checkMountPath(path: string): string {
  const clean = posix.normalize(path).replace(/(.)\/$/, "$1");
  if (!path.startsWith("/") || path.includes("\0") || Buffer.byteLength(clean) > maximumBytes)
    throw invalid(
      `${JSON.stringify(path.slice(0, 200))} is not a valid mount path. Use an absolute path of at most ${maximumBytes} bytes, such as "/data".`,
    );
  if (systemPaths.has(clean) || kernelPaths.some((prefix) => clean.startsWith(prefix)))
    throw invalid(
      `A volume cannot be mounted at ${clean}, because the operating system of the sandbox uses this path. To start a sandbox from a volume, give the volume as \`root\`.`,
    );
  return clean;
}

function invalid(message: string): CaissonError {
  return new CaissonError("invalid_argument", message);
}
