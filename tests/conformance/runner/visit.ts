/** Visits an exposed port as a browser does: `*.localhost` is this machine, the certificate is checked. Runs in Node and in Deno. */
import { readFile } from "node:fs/promises";
import { request, type RequestOptions } from "node:https";
import process from "node:process";

export interface Visited {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** @throws Error also when the certificate is not for this name, or not of the installation's authority */
export async function visit(url: string, options: RequestOptions = {}, body = ""): Promise<Visited> {
  const { hostname, host, port, pathname, search } = new URL(url);
  const ca = await readFile(process.env["CAISSON_GATEWAY_CA"] ?? "", "utf8");
  return await new Promise((resolve, reject) => {
    const sent = request(
      {
        ...options,
        host: "127.0.0.1",
        port,
        servername: hostname,
        ca,
        agent: false,
        path: pathname + search,
        headers: { host, ...(options.headers as Record<string, string>) },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("error", reject);
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}
