/**
 * Checks the data that goes through a tunnel until its first lines are over. Some servers take nearly anything for a request: any word for a
 * method (Python's `wsgiref`), none for a version (waitress), lines before it (the JDK's). None of them acts before the head has ended, so
 * whatever turns out to be one can still be cut.
 */
import { GrowingBytes } from "../bytes/growing-bytes.ts";

/** Bytes after which no head is expected any more. */
const longestHead = 16 * 1024;
const versionAtEnd = /(?:HTTP|RTSP|ICE)\/[0-9.]+[ \t]*\r?$/i;
const twoWords = /^\S+[ \t]+\S/;
const host = /^host[ \t]*:/i;

export class RequestWatch {
  #line = new GrowingBytes();
  #seen = 0;
  /** A line that could be a request's, were a `Host` to follow. */
  #begun = false;
  #over = false;

  /** Whether some server may take the guest's data so far for the head of a request. */
  suspects(chunk: Buffer): boolean {
    for (let at = 0; !this.#over && at < chunk.length;) {
      const end = chunk.indexOf(10, at);
      const piece = chunk.subarray(at, end < 0 ? chunk.length : end);
      this.#seen += piece.length + 1;
      if (this.#seen > longestHead) this.#over = true;
      else this.#line.append(piece);
      at += piece.length + 1;
      if (end >= 0 && !this.#over && this.#ends()) return true;
    }
    return false;
  }

  #ends(): boolean {
    const line = this.#line.bytes.toString("latin1");
    this.#line = new GrowingBytes();
    // Blank lines before the first are skipped, the one after it ends the head.
    if (line.trim() === "") this.#over = this.#begun;
    if (versionAtEnd.test(line) || (this.#begun && host.test(line))) return true;
    this.#begun ||= twoWords.test(line);
    return false;
  }
}
