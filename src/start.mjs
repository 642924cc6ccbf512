// Starts the service (main.ts) with what Node makes of its modules, text without types and compiled code, kept on disk from
// one start to the next: that is most of what a start takes. Plain JavaScript, since Node loads what takes types away,
// a tenth of a second, only for a file that is not there yet. Where nothing can be written, all is made anew each time.
import { constants, enableCompileCache, flushCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Beside the addons, and not where every user of the machine may write: this is code that will be run. */
const CACHE = fileURLToPath(new URL('../build/compile-cache', import.meta.url));

// The worker threads find it in the environment.
if (enableCompileCache(CACHE).status === constants.compileCacheStatus.ENABLED) {
  process.env.NODE_COMPILE_CACHE = CACHE;
}

await import('./main.ts');

// It would be written when the process ends, but not when it is killed.
flushCompileCache();
