/** Names that a disk and what lies below it have in the directory that the jail sees. */
import type { DiskSource } from "../driver.ts";
import { jailPaths } from "./command-line.ts";

/** `serial.0` is the top. @param templateDirectory images that lie in it are seen in the template instead */
export function diskNames(disk: Pick<DiskSource, "chain" | "serial">, directory: string, templateDirectory?: string): readonly string[] {
  return disk.chain.map((path, index) => {
    if (templateDirectory !== undefined && path.startsWith(`${templateDirectory}/`)) {
      return `${jailPaths.template}/${path.slice(templateDirectory.length + 1)}`;
    }
    return `${directory}/${disk.serial}.${index}`;
  });
}
