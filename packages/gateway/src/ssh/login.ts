/** Logins: the user name is the credential. Organisations that have registered keys ask for one of them as well. */
import type { RouteDirectory, SshAllowedKey, SshRoute } from "@caisson/protocol";
import type { Logger } from "pino";
import type { AuthContext, Connection } from "ssh2";
import { disconnect, sandboxEnded } from "./disconnect.ts";
import { fingerprintOf, isSignedBy, shownKey } from "./keys.ts";
import { disconnectReasons, sendBanner } from "./library.ts";
import { sshLimits } from "./limits.ts";

export interface LoginOptions {
  readonly connection: Connection;
  readonly directory: RouteDirectory<SshRoute>;
  /** Words for the client when the sandbox takes no more connections now. */
  readonly refusal: (route: SshRoute) => string | undefined;
  /** Called at most once, before anything else that the client has sent is looked at. */
  readonly loggedIn: (who: LoggedIn) => void;
  readonly refused: () => void;
  readonly log: Logger;
}

export interface LoggedIn {
  readonly route: SshRoute;
  readonly username: string;
  /** Absent: none was asked for. */
  readonly key?: SshAllowedKey;
}

const unknown =
  "Caisson: no running sandbox has this user name. A user name ends with its sandbox. Get a new one with exposeSsh().";
const keyNeeded =
  "Caisson: the organisation of this sandbox lets in only clients with one of its registered SSH keys, and this one has shown none. Register its public key: POST /api/v1/ssh/keys.";

/** Lets a client in. One that cannot log in is disconnected and reads why. */
export function login({ connection, directory, refusal, loggedIn, refused, log }: LoginOptions): void {
  let attempts = 0;
  let failures = 0;
  let found: LoggedIn | undefined;
  let closed = false;
  let rejected = false;

  const refuse = (words: string) => {
    rejected = false;
    refused();
    disconnect(connection, disconnectReasons.noMoreMethods, words);
  };

  async function attempt(context: AuthContext): Promise<void> {
    attempts++;
    // To ask whether a key is good, and to sign with it, is one attempt for people.
    if (failures >= sshLimits.attempts || attempts > 2 * sshLimits.attempts)
      return refuse(`Caisson: more than ${sshLimits.attempts} attempts to log in.`);
    const route = await find(context.username);
    if (closed) return;
    if (route === "failed") return refuse("Caisson: the server could not look for the sandbox. Try again.");
    if (route === undefined) return refuse(unknown);
    if (route.ended.aborted) return refuse(sandboxEnded);
    const words = refusal(route);
    if (words !== undefined) return refuse(words);
    if (route.keys !== undefined) return attemptWithKey(context, route, route.keys);
    found = { route, username: context.username };
    // The client may ask whether a key is good before it signs with it; then this is not the login yet, and it asks once more.
    context.accept();
  }

  function attemptWithKey(context: AuthContext, route: SshRoute, keys: readonly SshAllowedKey[]): void {
    const key = context.method === "publickey" ? shownKey(context, keys) : undefined;
    if (context.method === "publickey" && key !== undefined) {
      if (context.signature === undefined) return context.accept();
      if (isSignedBy(context, key)) {
        found = { route, username: context.username, key };
        return context.accept();
      }
    }
    // With `none` a client only asks for the methods. sshd does not count it either.
    if (context.method !== "none") failures++;
    // Clients come to the second method when they have no key left, unless nobody is there to answer: then they give up by themselves.
    if (context.method !== "none" && context.method !== "publickey") return refuse(keyNeeded);
    if (context.method === "publickey" && failures <= 2) sendBanner(connection, unregistered(context.key.data));
    rejected = true;
    context.reject(["publickey", "keyboard-interactive"]);
  }

  async function find(username: string): Promise<SshRoute | "failed" | undefined> {
    if (!/^[a-z0-9]{16,64}$/.test(username)) return undefined;
    try {
      const route = await directory.find(username, { signal: AbortSignal.timeout(sshLimits.login) });
      return route === "reserved" ? undefined : route;
    } catch (error) {
      log.info({ err: error }, "the sandbox of an SSH login was not found");
      return "failed";
    }
  }

  connection.on("authentication", (context) => {
    attempt(context).catch((error: unknown) => {
      log.warn({ err: error }, "an SSH login failed inside the gateway");
      refuse("Caisson: the server failed. Try again.");
    });
  });
  connection.once("close", () => {
    closed = true;
    if (rejected && found === undefined) refused();
  });
  connection.once("ready", () => {
    if (found !== undefined) loggedIn(found);
  });
}

function unregistered(blob: Uint8Array): string {
  return `Caisson: the organisation of this sandbox lets in only its registered SSH keys, and ${fingerprintOf(blob)} is none of them.`;
}
