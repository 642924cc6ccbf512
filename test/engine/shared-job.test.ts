import { expect, test } from 'vitest';
import { planFlops } from '../../src/engine/budget.ts';
import { createProgress, takePart } from '../../src/engine/shared-job.ts';
import { computeWork, helpersOf, sharesOf } from '../../src/engine/work.ts';
import type { Job } from '../../src/kernels/kernel.ts';
import { allocate } from '../../src/kernels/memory.ts';
import { portable } from '../../src/kernels/portable/kernel.ts';
import { cancel, createStatus } from '../../src/kernels/status.ts';
import { everything, makeCall } from '../support/calls.ts';
import { expectSameBits } from '../support/expect.ts';
import { resultsOf, run } from '../support/run.ts';

const call = everything(makeCall({ precision: 'float32', queries: 70, newKeys: 80, heads: 2 }));

function newJob(): Job {
  const plan = portable.plan(call);
  return { call, plan, memory: allocate(plan), status: createStatus() };
}

const tilesOf = ({ plan }: Job) => plan.stages.reduce((sum, { tiles }) => sum + tiles, 0);

test('who is alone does all of it, and who comes late nothing', () => {
  const job = newJob();
  const progress = createProgress(job.plan.stages.length);
  expect(takePart(portable, job, progress)).toEqual({
    tiles: tilesOf(job),
    flops: expect.closeTo(planFlops(job.plan)),
    isComplete: true,
  });
  expect(takePart(portable, job, progress)).toEqual({ tiles: 0, flops: 0, isComplete: true });
  for (const [name, expected] of Object.entries(resultsOf(run(portable, call).memory))) {
    expectSameBits(name, job.memory[name], expected);
  }
});

test('a cancelled job is left before its next tile', () => {
  const job = newJob();
  cancel(job.status);
  const progress = createProgress(job.plan.stages.length);
  expect(takePart(portable, job, progress)).toEqual({ tiles: 0, flops: 0, isComplete: false });
});

test('who waits for a tile that never comes leaves when the job is cancelled', () => {
  const job = newJob();
  const progress = createProgress(job.plan.stages.length);
  // Another worker has taken a tile of the first stage, and is lost with it.
  Atomics.add(progress, 0, 1);
  const isLast = { tiles: job.plan.stages[0].tiles - 1 };
  const cancelling = {
    ...portable,
    run: (...args: Parameters<typeof portable.run>) => {
      portable.run(...args);
      if (--isLast.tiles === 0) cancel(job.status);
    },
  };
  const { tiles, isComplete } = takePart(cancelling, job, progress);
  expect([tiles, isComplete]).toEqual([job.plan.stages[0].tiles - 1, false]);
});

test('small jobs are for one worker, middling ones for all that are idle, long ones cut into slices', () => {
  const plan = (flops: number) => ({
    stages: [{ name: 'all', tiles: 10, flopsPerTile: flops / 10 }],
    buffers: {},
  });
  const speed = 1e8;
  expect(sharesOf(portable, plan(1.4e8), 4, 4, speed)).toBe(1);
  expect(sharesOf(portable, plan(1.6e8), 4, 4, speed)).toBe(4);
  expect(sharesOf(portable, plan(1e9), 4, 4, speed)).toBe(4);
  expect(sharesOf(portable, plan(1e9), 3, 4, speed)).toBe(3);
  expect(sharesOf(portable, plan(1e9), 0, 4, speed)).toBe(1);
  expect(sharesOf(portable, plan(1e11), 4, 4, speed)).toBeNull();
  const helped = { ...portable, hasHelpers: true };
  expect(sharesOf(helped, plan(1e9), 4, 4, speed)).toBe(1);
  expect(sharesOf(helped, plan(1e11), 4, 4, speed)).toBeNull();
});

test('long batches are cut into their groups of samples, if these are not long themselves', () => {
  const helped = { ...portable, hasHelpers: true };
  const plan = (flops: number) => ({
    stages: [1, 2, 3].map((tiles) => ({ name: 'some', tiles, flopsPerTile: flops / 6 })),
    groups: [0, 1],
    buffers: {},
  });
  const speed = 1e8;
  expect(sharesOf(helped, plan(1.1e10), 4, 4, speed)).toBe('groups');
  expect(computeWork('portable', plan(6), 'groups').stages).toEqual([
    { tiles: 1, costPerTile: 1 },
    { tiles: 1, costPerTile: 5 },
  ]);
  expect(sharesOf(helped, plan(1e11), 4, 4, speed)).toBeNull();
  // Workers without helpers share the stages of a group.
  expect(sharesOf(portable, plan(1.1e10), 4, 4, speed)).toBeNull();
});

test('a job has as many helpers as are idle, and as are worth their waking', () => {
  const kernel = { ...portable, hasHelpers: true };
  const plan = (flops: number, tiles: number) => ({
    stages: [
      { name: 'short', tiles: 1, flopsPerTile: flops / 2 },
      { name: 'long', tiles, flopsPerTile: flops / 2 / tiles },
    ],
    buffers: {},
  });
  expect(helpersOf(kernel, plan(1e9, 100), 7)).toBe(7);
  expect(helpersOf(kernel, plan(1e9, 100), 0)).toBe(0);
  expect(helpersOf(kernel, plan(7e7, 100), 7)).toBe(3);
  expect(helpersOf(kernel, plan(1e7, 100), 7)).toBe(0);
  expect(helpersOf(kernel, plan(1e9, 3), 7)).toBe(2);
  expect(helpersOf(kernel, { stages: [], buffers: {} }, 7)).toBe(0);
  expect(helpersOf(portable, plan(1e9, 100), 7)).toBe(0);
});
