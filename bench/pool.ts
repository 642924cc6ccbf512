import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Job, Kernel } from '../src/kernels/kernel.ts';
import { arrived, createControl, FAILED, FINISHED, GENERATION, nextTile } from './pool-control.ts';
import type { PoolWorkerData } from './pool-worker.ts';

/** Longer than any row takes: a run that is not done by then has lost a thread. */
const LOST_AFTER_MS = 600_000;

/**
 * Threads that compute one job together, as often as asked: tiles are handed out by an atomic counter, and a stage
 * begins when all threads are done with the one before. The thread that asks sleeps meanwhile, as a server's would.
 */
export class Pool {
  readonly #workers: readonly Worker[];
  readonly #control: Int32Array;
  readonly #stages: number;

  private constructor(workers: readonly Worker[], control: Int32Array, stages: number) {
    this.#workers = workers;
    this.#control = control;
    this.#stages = stages;
  }

  static async start(threads: number, kernel: Kernel, job: Job): Promise<Pool> {
    const control = createControl(job.plan.stages.length);
    const workerData: PoolWorkerData = { kernel: kernel.name, job, control, threads };
    const workers = Array.from(
      { length: threads },
      () => new Worker(new URL('./pool-worker.ts', import.meta.url), { workerData }),
    );
    for (const worker of workers) worker.on('error', (error) => console.error(error));
    const pool = new Pool(workers, control, job.plan.stages.length);
    try {
      await Promise.all(workers.map((worker) => once(worker, 'message')));
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  /** Computes the whole job. */
  run(): void {
    const control = this.#control;
    for (let stage = 0; stage < this.#stages; stage++) {
      Atomics.store(control, nextTile(stage), 0);
      Atomics.store(control, arrived(stage), 0);
    }
    Atomics.store(control, FINISHED, 0);
    Atomics.add(control, GENERATION, 1);
    Atomics.notify(control, GENERATION);
    for (let done = 0; done < this.#workers.length; done = Atomics.load(control, FINISHED)) {
      if (Atomics.wait(control, FINISHED, done, LOST_AFTER_MS) === 'timed-out')
        throw new Error('A thread of the pool was lost.');
    }
    if (Atomics.load(control, FAILED) !== 0) throw new Error('A thread of the pool failed.');
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
