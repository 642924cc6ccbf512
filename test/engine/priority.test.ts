import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { afterEach, expect, test } from 'vitest';
import { SILENT } from '../../src/engine/logger.ts';
import { WorkerPool } from '../../src/engine/pool.ts';
import { until } from './support.ts';

const WORKERS = 2;
let pool: WorkerPool | undefined;
afterEach(() => pool?.close());

/** How nice each thread of this process is, from the 19th field of proc(5)'s stat. */
function niceness(): number[] {
  return readdirSync('/proc/self/task').map((thread) => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
}

test.runIf(process.platform === 'linux')(
  'workers run behind the event loop, and nothing else does',
  async () => {
    const own = getPriority();
    const nicer = () => niceness().filter((nice) => nice > own);
    const before = nicer().length;
    let ups = 0;
    const listener = { ready: () => void ups++, finished: () => {}, lost: () => {} };
    pool = new WorkerPool(WORKERS, listener, SILENT);
    await until(() => ups === WORKERS);
    expect(nicer().length - before).toBe(WORKERS);
    expect(getPriority()).toBe(own);
  },
);
