import { getPriority, setPriority } from 'node:os';

/** Steps of niceness, nice(2): of two threads that want to run, one that is ten steps nicer gets a tenth of the time. */
const NICENESS = 10;
const NICEST = 19;

/**
 * Lowers this thread's priority below that of the process's other threads, where the system counts niceness by thread, as
 * Linux does (setpriority(2), "C library/kernel differences"). Workers compute for milliseconds on every core; the event loop
 * runs for microseconds, and everybody waits for it, so it is to run as soon as it has something to do. Where the system
 * does not allow it (a sandbox may not), all run alike.
 */
export function runBehindTheEventLoop(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(0, Math.min(NICEST, getPriority(0) + NICENESS));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SYSTEM_ERROR') throw error;
  }
}
