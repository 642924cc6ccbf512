import { parentPort, workerData } from 'node:worker_threads';
import { type Progress, takePart } from '../src/engine/shared-job.ts';
import type { Job } from '../src/kernels/kernel.ts';
import { kernelNamed } from '../src/kernels/registry.ts';
import { cancel } from '../src/kernels/status.ts';
import { FAILED, GENERATION, INSIDE, OPEN, waitWhile } from './pool-control.ts';

export interface PoolWorkerData {
  readonly kernel: string;
  readonly job: Job;
  readonly control: Int32Array;
  readonly progress: Progress;
}

const { kernel: name, job, control, progress } = workerData as PoolWorkerData;
const kernel = kernelNamed(name);

parentPort!.postMessage('ready');
let generation = 0;
for (;;) {
  waitWhile(control, GENERATION, generation);
  generation = Atomics.load(control, GENERATION);
  Atomics.add(control, INSIDE, 1);
  try {
    // Whoever wakes up late finds the run closed, and touches nothing of the next.
    if (Atomics.load(control, OPEN) !== 0) takePart(kernel, job, progress);
  } catch (error) {
    // Nobody is to wait for the tile that this thread had.
    Atomics.store(control, FAILED, 1);
    cancel(job.status);
    throw error;
  } finally {
    Atomics.sub(control, INSIDE, 1);
  }
}
