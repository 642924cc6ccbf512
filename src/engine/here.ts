import type { Kernel } from '../kernels/kernel.ts';
import type { Dispatcher } from './dispatcher.ts';
import { type Circumstances, LONGEST_HERE_MS } from './way.ts';
import type { Means } from './whole-call.ts';

/*
 * What the event loop computes itself. Up to LONGEST_HERE_MS whoever else waits for it; longer, with the helpers of the
 * kernel, where requests come one at a time.
 */

/** What is known when a request comes, where this kernel computes most calls. */
export function circumstancesOf({ name, hasHelpers }: Kernel, dispatcher: Dispatcher): Circumstances {
  return {
    sharers: hasHelpers ? 1 : dispatcher.idleWorkers,
    helpers: hasHelpers ? dispatcher.idleThreads : 0,
    flopsPerMs: dispatcher.flopsPerMs(name),
    isQuiet: () => dispatcher.isQuiet(),
  };
}

/** Runs what takes this thread up to so long. */
export function holdFor<Result>(longestMs: number, { loop }: Dispatcher, run: () => Result): Result {
  return longestMs > LONGEST_HERE_MS ? loop.hold(run) : run();
}

/** What a call of this kernel may use meanwhile. */
export function meansFor(longestMs: number, { name, hasHelpers }: Kernel, dispatcher: Dispatcher): Means {
  const idleThreads = hasHelpers && longestMs > LONGEST_HERE_MS ? dispatcher.idleThreads : 0;
  return { mostFlops: longestMs * (1 + idleThreads) * dispatcher.flopsPerMs(name), idleThreads };
}
