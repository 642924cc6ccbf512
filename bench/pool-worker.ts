import { parentPort, workerData } from 'node:worker_threads';
import type { Job } from '../src/kernels/kernel.ts';
import { kernelNamed } from '../src/kernels/registry.ts';
import { arrived, FAILED, FINISHED, GENERATION, nextTile, waitWhile } from './pool-control.ts';

export interface PoolWorkerData {
  readonly kernel: string;
  readonly job: Job;
  readonly control: Int32Array;
  readonly threads: number;
}

const { kernel: name, job, control, threads } = workerData as PoolWorkerData;
const kernel = kernelNamed(name);

parentPort!.postMessage('ready');
for (let generation = 0; ; generation++) {
  Atomics.wait(control, GENERATION, generation);
  try {
    runStages();
  } catch (error) {
    // The others may wait for this thread for ever: whoever asked is not to.
    Atomics.store(control, FAILED, 1);
    Atomics.add(control, FINISHED, threads);
    Atomics.notify(control, FINISHED);
    throw error;
  }
  if (Atomics.add(control, FINISHED, 1) + 1 === threads) Atomics.notify(control, FINISHED);
}

/** Takes tiles until there are none, then waits for those of the others, stage by stage. */
function runStages(): void {
  job.plan.stages.forEach(({ tiles }, stage) => {
    for (let tile = take(stage); tile < tiles; tile = take(stage)) kernel.run(job, stage, tile);
    const word = arrived(stage);
    const count = Atomics.add(control, word, 1) + 1;
    if (count === threads) Atomics.notify(control, word);
    for (let seen = count; seen < threads; seen = Atomics.load(control, word)) waitWhile(control, word, seen);
  });
}

function take(stage: number): number {
  return Atomics.add(control, nextTile(stage), 1);
}
