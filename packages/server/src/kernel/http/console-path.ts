/** The command line authenticates its console calls with a cookie (wire contract 1.2), where all others send `Authorization`. */
import type { IncomingMessage } from "node:http";

/** `/api/sandboxes.list` and the like, several with commas. No other route has a dot there. */
export const consolePath = /^\/api\/[A-Za-z]+\.[A-Za-z.,]+$/;

/**
 * Puts the token of the cookie where everything looks for it. On these paths alone, so that no page of another site can make a browser
 * use a cookie anywhere else; unsafe methods of foreign origins are refused as everywhere.
 */
export function useCookie({ headers, url = "" }: IncomingMessage): void {
  if (headers.authorization !== undefined || !consolePath.test(url.split("?", 1)[0]!)) return;
  const token = /(?:^|;\s*)token=([\w.~-]{1,512})(?:;|$)/.exec(headers.cookie ?? "")?.[1];
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
}
