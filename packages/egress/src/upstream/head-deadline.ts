/** How long an upstream may take to begin its answer. */
import { UpstreamFailure } from "./failure.ts";

export interface HeadDeadline {
  /** The request has been sent whole; the deadline runs from now on. */
  begin(): void;
  /** The head has come, or nobody waits for it any more. */
  end(): void;
}

/**
 * Early answers (1xx) do not prolong it; with them an upstream could hold a request for ever.
 * @param patience milliseconds
 */
export function headDeadline(patience: number, late: (failure: UpstreamFailure) => void): HeadDeadline {
  let timer: NodeJS.Timeout | undefined;
  let over = false;
  return {
    begin() {
      if (over || timer !== undefined) return;
      const failure = (): UpstreamFailure =>
        new UpstreamFailure("upstream-timeout", `The upstream did not begin to answer within ${patience / 1000} s`);
      timer = setTimeout(() => late(failure()), patience).unref();
    },
    end() {
      over = true;
      clearTimeout(timer);
    },
  };
}
