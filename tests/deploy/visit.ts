/** Visits apps as a browser does: by name, over TLS, with the authority of this installation. */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export function visitor(home: string) {
  const ca = readFileSync(join(home, "gateway-ca.pem"));
  /** @param domain with its port, as the API gives it @param certain false: the certificate may be for another name */
  return (domain: string, path = "/", headers: Record<string, string> = {}, certain = true): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const [host = "", port] = domain.split(":");
      const sent = request(
        {
          host: "127.0.0.1",
          port,
          servername: host,
          headers: { host: domain, ...headers },
          path,
          ca,
          rejectUnauthorized: certain,
          agent: false,
        },
        (response) => {
          let body = "";
          response.setEncoding("utf8").on("data", (text: string) => (body += text));
          response.on("error", reject);
          response.on("end", () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }));
        },
      );
      sent.on("error", reject).end();
    });
}
