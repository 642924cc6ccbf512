import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { createProgress, type Progress, takePart } from '../src/engine/shared-job.ts';
import type { Job, Kernel } from '../src/kernels/kernel.ts';
import { createControl, FAILED, GENERATION, INSIDE, OPEN } from './pool-control.ts';
import type { PoolWorkerData } from './pool-worker.ts';

/**
 * Threads that compute one job together, as often as asked, as the workers of the engine share one whose kernel has no
 * helpers: each takes tiles from atomic counters from the first stage to the last. The thread that asks is one of them.
 */
export class Pool {
  readonly #workers: readonly Worker[];
  readonly #kernel: Kernel;
  readonly #job: Job;
  readonly #control: Int32Array;
  readonly #progress: Progress;

  private constructor(workers: readonly Worker[], kernel: Kernel, data: PoolWorkerData) {
    this.#workers = workers;
    this.#kernel = kernel;
    this.#job = data.job;
    this.#control = data.control;
    this.#progress = data.progress;
  }

  static async start(threads: number, kernel: Kernel, job: Job): Promise<Pool> {
    const progress = createProgress(job.plan.stages.length);
    const workerData: PoolWorkerData = { kernel: kernel.name, job, control: createControl(), progress };
    const workers = Array.from(
      { length: threads - 1 },
      () => new Worker(new URL('./pool-worker.ts', import.meta.url), { workerData }),
    );
    const pool = new Pool(workers, kernel, workerData);
    for (const worker of workers) {
      worker.on('error', (error) => {
        console.error(error);
      });
    }
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
    this.#progress.fill(0);
    Atomics.store(control, OPEN, 1);
    Atomics.add(control, GENERATION, 1);
    Atomics.notify(control, GENERATION);
    takePart(this.#kernel, this.#job, this.#progress);
    Atomics.store(control, OPEN, 0);
    // All tiles are done, so whoever is inside is about to leave.
    while (Atomics.load(control, INSIDE) !== 0) Atomics.pause();
    if (Atomics.load(control, FAILED) !== 0) throw new Error('A thread of the pool failed.');
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
