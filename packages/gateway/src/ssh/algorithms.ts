/**
 * What the gateway offers in a key exchange. Nothing that `ssh-audit` fails: no SHA-1, no CBC, no NIST curves. The library adds the
 * strict key exchange that stops prefix truncation (CVE-2023-48795). No Diffie-Hellman over finite fields: a client that has no user name
 * could make the server's only thread compute for tens of milliseconds each time (CVE-2002-20001); every client since 2014 has Curve25519.
 */
import type { Algorithms } from "ssh2";

export const algorithms: Algorithms = {
  kex: ["curve25519-sha256", "curve25519-sha256@libssh.org"],
  serverHostKey: ["ssh-ed25519"],
  cipher: [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
  ],
  hmac: ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"],
  compress: ["none"],
};
