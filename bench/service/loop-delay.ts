import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/** By how many milliseconds timers of the main thread were late. */
export interface LoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/*
 * Loaded into a service before its own code (node --import): watches the event loop of its main thread from the message
 * 'watch' on, and answers 'report'. Workers load it too, and are not watched.
 */

/** A timer falls due this often; the histogram has the time between two, so this much of it is no delay. */
const RESOLUTION_MS = 1;

if (isMainThread && process.send !== undefined) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  process.on('message', (message) => {
    if (message === 'watch') {
      histogram.reset();
      histogram.enable();
    } else if (message === 'report') {
      histogram.disable();
      const delay: LoopDelay = {
        p50: late(histogram.percentile(50)),
        p99: late(histogram.percentile(99)),
        max: late(histogram.max),
      };
      process.send!(delay);
    }
  });
  // To listen keeps no process alive that has nothing else to do.
  process.channel!.unref();
}
