import type { Job, Kernel } from '../kernels/kernel.ts';
import { isCancelled } from '../kernels/status.ts';

/**
 * How far the workers that share a job have come: for each stage the next tile that nobody has taken, and the tiles
 * that are done. On shared memory.
 */
export type Progress = Int32Array;

const SLOTS = 2;
/**
 * Looks at the counter before a worker goes to sleep: some 50 µs with the pause after each, which is as long as a tile of
 * a small layer takes, and as a sleep and its end would.
 */
const SPINS = 2000;
/** A worker that sleeps looks up this often, for a job that will not be finished. */
const SLEEP_MS = 1;

/** What one worker has done of a job, and whether all of the job is done, by whomever. */
export interface Part {
  readonly tiles: number;
  readonly flops: number;
  readonly isComplete: boolean;
}

export function createProgress(stages: number): Progress {
  return new Int32Array(new SharedArrayBuffer(Math.max(1, stages) * SLOTS * Int32Array.BYTES_PER_ELEMENT));
}

/**
 * Takes part in a job until all of it is done, or it is cancelled: takes tiles from the counter of each stage, and
 * waits for those that others have taken before it goes on to the next. Whoever comes late finds nothing left to do.
 */
export function takePart(kernel: Kernel, job: Job, progress: Progress): Part {
  const part = { tiles: 0, flops: 0, isComplete: false };
  for (const [stage, { tiles, flopsPerTile }] of job.plan.stages.entries()) {
    const next = stage * SLOTS;
    const done = next + 1;
    while (!isCancelled(job.status)) {
      const tile = Atomics.add(progress, next, 1);
      if (tile >= tiles) break;
      kernel.run(job, stage, tile);
      part.tiles++;
      part.flops += flopsPerTile;
      if (Atomics.add(progress, done, 1) + 1 === tiles) Atomics.notify(progress, done);
    }
    if (!awaitStage(job, progress, done, tiles)) return part;
  }
  return { ...part, isComplete: true };
}

/** Waits until a stage is done. Returns false where it will never be. */
function awaitStage(job: Job, progress: Progress, done: number, tiles: number): boolean {
  for (let spin = 0; spin < SPINS; spin++) {
    if (Atomics.load(progress, done) >= tiles) return true;
    Atomics.pause();
  }
  for (;;) {
    const count = Atomics.load(progress, done);
    if (count >= tiles) return true;
    if (isCancelled(job.status)) return false;
    Atomics.wait(progress, done, count, SLEEP_MS);
  }
}
