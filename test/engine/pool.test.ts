import { afterEach, expect, test } from 'vitest';
import type { ItemResult } from '../../src/engine/item.ts';
import { SILENT } from '../../src/engine/logger.ts';
import { type PoolListener, WorkerPool } from '../../src/engine/pool.ts';
import { allocate } from '../../src/kernels/memory.ts';
import { kernelNamed } from '../../src/kernels/registry.ts';
import { cancel, createStatus } from '../../src/kernels/status.ts';
import { longCall, smallCall, until } from './support.ts';

/** What a pool has told, in order. */
class Recorder implements PoolListener {
  readonly results: ItemResult[] = [];
  ups = 0;
  losses = 0;

  ready(): void {
    this.ups++;
  }

  finished(_worker: number, result: ItemResult): void {
    this.results.push(result);
  }

  lost(): void {
    this.losses++;
  }
}

const kernel = kernelNamed('reference');
let pool: WorkerPool | undefined;
afterEach(() => pool?.close());

function open(): Recorder {
  const recorder = new Recorder();
  pool = new WorkerPool(1, recorder, SILENT);
  return recorder;
}

function jobOf(call: ReturnType<typeof longCall>) {
  const plan = kernel.plan(call);
  return { call, plan, memory: allocate(plan), status: createStatus() };
}

function startStage(stage: number, jobId: number, job: ReturnType<typeof jobOf>): void {
  const { tiles } = job.plan.stages[stage];
  const range = { stage, from: 0, to: tiles };
  pool!.start(0, { kind: 'compute', jobId, job, kernel: kernel.name, tiles: range, isFresh: true });
}

/** The stage that writes the output, and with it the time. */
function attendStage(job: ReturnType<typeof jobOf>): number {
  const costs = job.plan.stages.map(({ tiles, flopsPerTile }) => tiles * flopsPerTile);
  return costs.indexOf(Math.max(...costs));
}

test('a slice whose job is cancelled stops after the tile it is at', async () => {
  const seen = open();
  await until(() => seen.ups === 1);
  const job = jobOf(longCall());
  const last = attendStage(job);
  for (let stage = 0; stage < last; stage++) {
    startStage(stage, 1, job);
    await until(() => seen.results.length === stage + 1);
  }
  startStage(last, 1, job);
  await until(() => job.memory.output.some((value) => value !== 0));
  cancel(job.status);
  await until(() => seen.results.length === last + 1);
  const result = seen.results[last];
  if (result.kind !== 'computed') throw new Error('Expected tiles.');
  expect(result.tiles).toBeGreaterThan(0);
  expect(result.tiles).toBeLessThan(job.plan.stages[last].tiles);
});

test('a cancelled slice that has not begun computes nothing', async () => {
  const seen = open();
  await until(() => seen.ups === 1);
  const job = jobOf(smallCall());
  cancel(job.status);
  startStage(0, 1, job);
  await until(() => seen.results.length === 1);
  expect(seen.results).toMatchObject([{ kind: 'computed', tiles: 0 }]);
});

test('what is thrown in a worker comes back with its message, and the worker stays', async () => {
  const seen = open();
  await until(() => seen.ups === 1);
  const job = jobOf(smallCall());
  const tiles = { stage: 0, from: 0, to: 1 };
  pool!.start(0, { kind: 'compute', jobId: 1, job, kernel: 'nothing', tiles, isFresh: true });
  await until(() => seen.results.length === 1);
  expect(seen.results[0]).toMatchObject({
    kind: 'error',
    error: { message: expect.stringContaining('nothing') },
  });
  startStage(0, 2, job);
  await until(() => seen.results.length === 2);
  expect(seen).toMatchObject({ losses: 0, ups: 1 });
});
