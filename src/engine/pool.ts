import type { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { Item, ItemResult } from './item.ts';
import type { Logger } from './logger.ts';

const WORKER_FILE = new URL('./worker.ts', import.meta.url).href;
/** A named export: Node aborts the process when a thread ends while a default export is being loaded. */
const ENTRY = 'perform';
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 30_000;

/** What the pool tells about its workers, which go by their index. */
export interface PoolListener {
  ready(worker: number): void;
  finished(worker: number, result: ItemResult): void;
  /** The worker is gone, whatever it was doing; `ready` follows when another one has taken its place. */
  lost(worker: number): void;
}

/**
 * The worker threads: piscina carries items to them and results back. Each worker is a piscina pool of one, since
 * the scheduler has to know which worker has which item, end exactly that one when it hangs, and start it again with
 * a backoff when it cannot start (a larger pool gives such workers up for good).
 */
export class WorkerPool {
  readonly #slots: readonly WorkerSlot[];

  constructor(size: number, listener: PoolListener, logger: Logger, workerFile = WORKER_FILE) {
    const newSlot = (index: number) => new WorkerSlot(index, listener, logger, workerFile);
    this.#slots = Array.from({ length: size }, (_, index) => newSlot(index));
  }

  /** Hands an item to a worker that is ready and has none. */
  start(worker: number, item: Item): void {
    this.#slots[worker].start(item);
  }

  /** Ends a worker, even within a tile. */
  terminate(worker: number): void {
    this.#slots[worker].terminate();
  }

  /** The threads that are up at the moment. */
  get threads(): readonly Worker[] {
    return this.#slots.flatMap((slot) => slot.threads);
  }

  async close(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.close()));
  }
}

class WorkerSlot {
  readonly #index: number;
  readonly #listener: PoolListener;
  readonly #logger: Logger;
  readonly #workerFile: string;
  #pool: Piscina | null = null;
  #isReady = false;
  #isBusy = false;
  #isEnded = false;
  #isClosed = false;
  /** Workers that were lost one after the other before they were ready. */
  #failedStarts = 0;
  /** Resolves when the newest worker is up, or could not start. */
  #starting = Promise.withResolvers<void>();
  #restart: NodeJS.Timeout | undefined;
  /** The job that the worker holds from its last compute item. */
  #heldJob: number | null = null;

  constructor(index: number, listener: PoolListener, logger: Logger, workerFile: string) {
    this.#index = index;
    this.#listener = listener;
    this.#logger = logger;
    this.#workerFile = workerFile;
    this.#open();
  }

  get threads(): Worker[] {
    return this.#pool?.threads ?? [];
  }

  start(item: Item): void {
    if (item.kind !== 'compute') {
      this.#run(item);
      return;
    }
    const isHeld = item.jobId === this.#heldJob;
    this.#heldJob = item.jobId;
    this.#run(isHeld ? { ...item, job: null } : item);
  }

  terminate(): void {
    for (const thread of this.threads) void thread.terminate();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    // Ending a thread while it loads its modules can take the whole process with it.
    await this.#starting.promise;
    if (this.#pool !== null) await this.#end(this.#pool);
  }

  /** Ends a pool once: piscina would start another worker if it were told twice. */
  async #end(pool: Piscina): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await pool.destroy();
  }

  #open(): void {
    // 'sync': an idle worker sleeps in Atomics.wait, which costs no CPU and wakes without an event loop turn.
    const pool = new Piscina({
      filename: this.#workerFile,
      name: ENTRY,
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: 1,
      atomics: 'sync',
      recordTiming: false,
    });
    this.#pool = pool;
    this.#isReady = false;
    this.#isEnded = false;
    this.#heldJob = null;
    this.#starting = Promise.withResolvers();
    pool.on('error', (error) => this.#lose(pool, error));
    pool.on('workerDestroy', () => {
      // At once, or the pool would start a worker that is not wanted. A running item brings the reason itself.
      void this.#end(pool);
      if (!this.#isBusy) this.#lose(pool, new Error('The worker ended while it was idle.'));
    });
    this.#run({ kind: 'ping' });
  }

  #run(item: Item): void {
    const pool = this.#pool!;
    this.#isBusy = true;
    pool.run(item).then(
      (result: ItemResult) => {
        this.#isBusy = false;
        this.#back(result);
      },
      (error) => {
        this.#isBusy = false;
        this.#lose(pool, error);
      },
    );
  }

  #back(result: ItemResult): void {
    if (this.#isReady) {
      this.#listener.finished(this.#index, result);
      return;
    }
    this.#isReady = true;
    this.#failedStarts = 0;
    this.#starting.resolve();
    if (this.#isClosed) return;
    this.#listener.ready(this.#index);
  }

  #lose(pool: Piscina, error: unknown): void {
    this.#starting.resolve();
    if (pool !== this.#pool || this.#isClosed) return;
    void this.#end(pool);
    this.#pool = null;
    if (!this.#isReady) this.#failedStarts++;
    const delayMs = this.#isReady ? 0 : backoffMs(this.#failedStarts);
    this.#logger.error({ err: error, worker: this.#index, restart_in_ms: delayMs }, 'A worker was lost.');
    this.#restart = setTimeout(() => this.#open(), delayMs);
    this.#listener.lost(this.#index);
  }
}

function backoffMs(failures: number): number {
  return Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (failures - 1));
}
