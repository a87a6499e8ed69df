/** The echo in whatever a guest left in its port: found where a search of the whole finds it, however it is cut. */
import assert from "node:assert/strict";
import { asBytes, fuzz, mutatedBytes, splits } from "@caisson/testing/fuzz";
import { EchoFinder } from "./guest-port.ts";

const line = "CAISSON-SYNC 00112233445566778899aabbccddeeff\n";

fuzz({
  name: "handshake",
  directory: import.meta.dirname,
  codec: asBytes,
  input: (seeds) => mutatedBytes(seeds),
  check(bytes) {
    const at = bytes.indexOf(line, 0, "latin1");
    for (const pieces of splits(bytes)) {
      const finder = new EchoFinder(line);
      let rest: Buffer[] | undefined;
      for (const piece of pieces) {
        if (rest !== undefined) rest.push(piece);
        else {
          const found = finder.push(piece);
          if (found !== undefined) rest = [found];
        }
      }
      if (at === -1) assert.equal(rest, undefined);
      else assert.deepEqual(Buffer.concat(rest ?? [Buffer.from("not found")]), bytes.subarray(at + line.length));
    }
  },
});
