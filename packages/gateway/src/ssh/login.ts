/** Logins: the user name is the credential, and no other is asked for. */
import type { RouteDirectory, SshRoute } from "@caisson/protocol";
import type { Logger } from "pino";
import type { AuthContext, Connection } from "ssh2";
import { disconnect, sandboxEnded } from "./disconnect.ts";
import { disconnectReasons } from "./library.ts";
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
}

const unknown =
  "Caisson: no running sandbox has this user name. A user name ends with its sandbox. Get a new one with exposeSsh().";

/** Lets a client in. One that cannot log in is disconnected and reads why. */
export function login({ connection, directory, refusal, loggedIn, refused, log }: LoginOptions): void {
  let attempts = 0;
  let found: LoggedIn | undefined;
  let closed = false;

  const refuse = (words: string) => {
    refused();
    disconnect(connection, disconnectReasons.noMoreMethods, words);
  };

  async function attempt(context: AuthContext): Promise<void> {
    attempts++;
    if (attempts > sshLimits.attempts) return refuse(`Caisson: more than ${sshLimits.attempts} attempts to log in.`);
    const route = await find(context.username);
    if (closed) return;
    if (route === "failed") return refuse("Caisson: the server could not look for the sandbox. Try again.");
    if (route === undefined) return refuse(unknown);
    if (route.ended.aborted) return refuse(sandboxEnded);
    const words = refusal(route);
    if (words !== undefined) return refuse(words);
    found = { route, username: context.username };
    // The client may ask whether a key is good before it signs with it; then this is not the login yet, and it asks once more.
    context.accept();
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
  connection.once("close", () => (closed = true));
  connection.once("ready", () => {
    if (found !== undefined) loggedIn(found);
  });
}
