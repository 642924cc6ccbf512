import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { everything, makeCall } from '../../support/calls.ts';
import { run, runTiles } from '../../support/run.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/**
 * Until code is compiled it boxes numbers, and when it is compiled depends on what else the machine does: there are some
 * rounds at least, and more until no more is allocated than may be.
 */
const ROUNDS = 4;
const MOST_ROUNDS = 40;

/** Least bytes on the heap and in array buffers that running all tiles of a call once more takes, per tile. */
function bytesPerTile(kernel: Kernel, keys: number, most = Number.POSITIVE_INFINITY) {
  const projections = {
    width: 64,
    contextWidth: null,
    layout: 'in_out',
    packed: 'qkv',
    bias: true,
    outputWidth: 64,
  } as const;
  const call = everything(
    makeCall({ precision: kernel.precision, queries: keys, heads: 2, headSize: 64, projections }),
  );
  const job = run(kernel, call);
  const tiles = job.plan.stages.reduce((sum, stage) => sum + stage.tiles, 0);
  let [heap, buffers] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let round = 0; round < ROUNDS || (heap >= most && round < MOST_ROUNDS); round++) {
    collectGarbage();
    const before = process.memoryUsage();
    runTiles(kernel, job);
    const after = process.memoryUsage();
    // Where a page, a quarter of a megabyte, was given back meanwhile, the round says nothing.
    const allocated = after.heapUsed - before.heapUsed;
    if (allocated >= 0) heap = Math.min(heap, allocated / tiles);
    buffers = Math.min(buffers, after.arrayBuffers - before.arrayBuffers);
  }
  return { heap, buffers };
}

/**
 * A tile works in memory that was there before. JavaScript allocates small objects that name places, such as
 * strides, for the rows of a tile; nothing may grow with the number of keys, and no array may be made.
 */
export function allocation(kernel: Kernel): void {
  it('allocates no array per tile, and no more for many keys than for few', () => {
    const few = bytesPerTile(kernel, 64);
    const most = 1.5 * few.heap + 1024;
    const many = bytesPerTile(kernel, 512, most);
    expect(few.buffers).toBeLessThanOrEqual(0);
    expect(many.buffers).toBeLessThanOrEqual(0);
    expect(many.heap).toBeLessThan(most);
  });
}
