/** Collects the events of one sandbox and delivers them in batches. Of a flood, events are dropped and counted. */
import type { EgressEvent } from "@caisson/protocol";

export interface Recorder {
  record(event: EgressEvent): void;
  /** Delivers the queued events. */
  flush(): void;
}

/** In one interval. */
const maxQueued = 1024;
const maxBatch = 512;
const interval = 100;
const longestText = 512;

/** Gets a batch, and how many events were lost since the last one. */
export type Deliver = (events: readonly EgressEvent[], lost: number) => void;

export function createRecorder(deliver: Deliver): Recorder {
  let queue: EgressEvent[] = [];
  let lost = 0;
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    while (queue.length > 0) {
      const batch = queue.splice(0, maxBatch);
      deliver(batch, lost);
      lost = 0;
    }
  };
  return {
    record(event) {
      if (queue.length >= maxQueued) {
        lost++;
        return;
      }
      queue.push(bounded(event));
      timer ??= setTimeout(flush, interval);
    },
    flush,
  };
}

function bounded(event: EgressEvent): EgressEvent {
  const cut = (text: string): string => (text.length <= longestText ? text : `${text.slice(0, longestText)}...`);
  return {
    ...event,
    host: cut(event.host),
    ...(event.path !== undefined && { path: cut(event.path) }),
    ...(event.method !== undefined && { method: event.method.slice(0, 32) }),
    ...(event.detail !== undefined && { detail: cut(event.detail) }),
  };
}
