/** HTTP/2 sessions with one upstream: as many as needed, so that no stream waits for another to end. */
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { closeWhenIdle } from "./close-when-idle.ts";
import { UpstreamFailure } from "./failure.ts";
import { windows, type Place, type WindowBudget } from "./window-budget.ts";

/** Milliseconds, and streams of one session. */
const limits = { idle: 30_000, settings: 10_000, streams: 128 } as const;

export interface SessionOptions {
  /** A connection that speaks HTTP/2; undefined when the upstream does not. */
  readonly connect: () => Promise<Socket | undefined>;
  readonly origin: string;
  readonly budget: WindowBudget;
  /** Milliseconds in which an upstream must begin to answer. */
  readonly patience: number;
}

/** Where one stream can begin, at once. */
export interface FreeStream {
  readonly open: ClientHttp2Session["request"];
  readonly patience: number;
}

interface Session {
  readonly http2: ClientHttp2Session;
  readonly window: number;
  readonly carries: <S extends ClientHttp2Stream>(stream: S) => S;
  /** Streams, those included that are about to begin. */
  streams: number;
}

export class Http2Sessions {
  readonly #options: SessionOptions;
  readonly #sessions = new Set<Session>();
  /** By window. */
  readonly #opening = new Map<number, Promise<Session | undefined>>();
  #over = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /**
   * @param left aborts when the guest has disconnected; nothing of its request is kept then
   * @returns undefined when the upstream does not speak HTTP/2
   * @throws the error of the connection, UpstreamFailure, or the reason of `left`
   */
  async take(left: AbortSignal): Promise<FreeStream | undefined> {
    const place = this.#options.budget.take();
    try {
      for (let attempts = 0; attempts < 3;) {
        const free = [...this.#sessions].find((session) => session.window === place.window && isFree(session));
        if (free !== undefined) return this.#reserve(free, place);
        const opened = await unlessLeft(this.#open(place.window), left);
        if (opened === undefined) {
          place.leave();
          return undefined;
        }
        // Other requests may have filled it in the meantime; that is not a failure.
        if (opened.http2.closed) attempts++;
      }
      throw new UpstreamFailure("upstream-protocol", "The upstream closes its HTTP/2 sessions as soon as they begin");
    } catch (error) {
      place.leave();
      throw error;
    }
  }

  #reserve(session: Session, place: Place): FreeStream {
    session.streams++;
    const release = (): void => {
      session.streams--;
      place.leave();
    };
    return {
      patience: this.#options.patience,
      open: (headers, options) => {
        try {
          return session.carries(session.http2.request(headers, options)).once("close", release);
        } catch (error) {
          release();
          throw error;
        }
      },
    };
  }

  /** One at a time; everyone who needs one waits for the same. */
  #open(window: number): Promise<Session | undefined> {
    const known = this.#opening.get(window);
    if (known !== undefined) return known;
    const opening = this.#begin(window).finally(() => this.#opening.delete(window));
    this.#opening.set(window, opening);
    return opening;
  }

  async #begin(window: number): Promise<Session | undefined> {
    const socket = await this.#options.connect();
    if (socket === undefined) return undefined;
    const http2 = connect(this.#options.origin, {
      createConnection: () => socket,
      maxSessionMemory: 64,
      maxHeaderListPairs: 256,
      settings: { enablePush: false, initialWindowSize: window },
    });
    const session: Session = { http2, window, carries: closeWhenIdle(http2, limits.idle), streams: 0 };
    http2.on("error", () => {}).on("goaway", () => http2.close());
    http2.once("close", () => this.#sessions.delete(session));
    await settled(http2);
    // Node extends this window as it reads, so it bounds no memory. It must only be large enough for a wide stream.
    http2.setLocalWindowSize(2 * windows.wide);
    if (this.#over) http2.destroy();
    else this.#sessions.add(session);
    return session;
  }

  /** Ends at once. */
  destroy(): void {
    this.#over = true;
    for (const { http2 } of this.#sessions) http2.destroy();
  }

  /** Lets running exchanges end. */
  retire(): void {
    for (const { http2 } of this.#sessions) http2.close();
  }
}

function isFree({ http2, streams }: Session): boolean {
  const allowed = http2.remoteSettings.maxConcurrentStreams ?? limits.streams;
  return !http2.closed && !http2.destroyed && streams < Math.min(allowed, limits.streams);
}

/** Resolves when the upstream has sent its settings. */
async function settled(http2: ClientHttp2Session): Promise<void> {
  const late = setTimeout(
    () =>
      http2.destroy(new UpstreamFailure("upstream-timeout", "The upstream did not begin its HTTP/2 session in time")),
    limits.settings,
  );
  try {
    await new Promise<void>((resolve, reject) => {
      http2.once("remoteSettings", () => resolve());
      http2.once("error", reject);
      http2.once("close", () =>
        reject(new UpstreamFailure("upstream-protocol", "The upstream closed the HTTP/2 session before it began")),
      );
    });
  } finally {
    clearTimeout(late);
  }
  if (http2.remoteSettings.maxConcurrentStreams !== 0) return;
  http2.destroy();
  throw new UpstreamFailure("upstream-protocol", "The upstream allows no HTTP/2 streams");
}

function unlessLeft<T>(promise: Promise<T>, left: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(left.reason as Error);
    promise.then(resolve, reject).finally(() => left.removeEventListener("abort", leave));
    if (left.aborted) leave();
    else left.addEventListener("abort", leave, { once: true });
  });
}
