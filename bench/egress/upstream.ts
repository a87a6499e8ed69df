/** The host behind the proxies, in a process of its own: small answers and endless ones. */
import { randomBytes } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

const small = Buffer.from(JSON.stringify({ id: "chat-1", text: "x".repeat(900) }));
const block = randomBytes(2 ** 20);

process.once("message", (identity: { cert: string; key: string }) => {
  const server = createServer({ ...identity, ALPNProtocols: ["http/1.1"] }, (request, response) => {
    const size = Number(new URL(request.url!, "https://upstream").searchParams.get("size") ?? 0);
    if (size === 0) {
      response.writeHead(200, { "content-type": "application/json", "content-length": small.length }).end(small);
      return;
    }
    response.writeHead(200, { "content-length": size });
    let left = size;
    const fill = (): void => {
      while (left > 0 && !response.destroyed) {
        const piece = left >= block.length ? block : block.subarray(0, left);
        left -= piece.length;
        if (!response.write(piece)) return;
      }
      response.end();
    };
    response.on("drain", fill);
    fill();
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1", () => process.send!((server.address() as AddressInfo).port));
});
process.once("disconnect", () => process.exit(0));
