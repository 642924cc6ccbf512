import { expect, test } from 'vitest';
import { SILENT } from '../../src/engine/logger.ts';
import { WorkerPool } from '../../src/engine/pool.ts';
import { kernelNamed } from '../../src/kernels/registry.ts';
import { computeHere, longCall, mediumCall, smallCall, until, withEngine } from '../engine/support.ts';

const reference = kernelNamed('reference');
const LOST = { code: 'worker_lost', status: 503, retryAfterSeconds: 1 };

test('a worker that dies fails its request, and another one takes its place', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const ticket = engine.admit(10);
    const job = ticket.compute(longCall());
    await until(() => engine.stats().tilesComputed > 0);
    void engine.workers[0].terminate();
    await expect(job).rejects.toMatchObject(LOST);
    ticket.release();
    expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0, workersLost: 1 });

    const next = engine.admit(0);
    const { memory } = await next.compute(smallCall());
    next.release();
    expect(memory).toEqual(computeHere(reference, smallCall()));
  });
});

test('requests that were not on the dead worker are untouched', async () => {
  await withEngine({ threads: 2 }, async (engine) => {
    const calls = [mediumCall(1), mediumCall(2)];
    const tickets = calls.map(() => engine.admit(0));
    const jobs = calls.map((call, index) => tickets[index].compute(call));
    expect(engine.stats().runningSlices).toBe(2);
    void engine.workers[0].terminate();
    const results = await Promise.allSettled(jobs);
    for (const ticket of tickets) ticket.release();
    const fates = results.map(({ status }) => status).sort();
    expect(fates).toEqual(['fulfilled', 'rejected']);
    for (const [index, result] of results.entries()) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject(LOST);
      else expect(result.value.memory).toEqual(computeHere(reference, calls[index]));
    }
    await until(() => engine.stats().threadsUp === 2);
  });
});

test('an idle worker that dies is replaced', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    await engine.workers[0].terminate();
    await until(() => engine.stats().workersLost === 1 && engine.stats().threadsUp === 1);
    const ticket = engine.admit(0);
    await ticket.compute(smallCall());
    ticket.release();
  });
});

test('under repeated deaths each request ends once, and nothing is left behind', async () => {
  await withEngine({ threads: 2 }, async (engine) => {
    const outcomes: string[] = [];
    const request = async () => {
      const ticket = engine.admit(1000);
      const outcome = await ticket.compute(mediumCall()).then(
        () => 'done',
        (error) => error.code,
      );
      ticket.release();
      outcomes.push(outcome);
    };
    const deaths = 8;
    const requests: Promise<void>[] = [];
    for (let death = 1; death <= deaths; death++) {
      // Node itself may abort where a thread is ended while it loads its modules.
      await until(() => engine.stats().threadsUp === 2);
      requests.push(request(), request(), request());
      await until(() => engine.stats().runningSlices > 0);
      void engine.workers[death % engine.workers.length].terminate();
      await until(() => engine.stats().workersLost === death);
    }
    await Promise.all(requests);
    expect(outcomes).toHaveLength(3 * deaths);
    expect(new Set(outcomes)).toEqual(new Set(['done', 'worker_lost']));
    expect(outcomes.filter((outcome) => outcome === 'worker_lost').length).toBeLessThanOrEqual(deaths);
    await until(() => engine.stats().threadsUp === 2);
    expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0, runningSlices: 0 });
    expect(engine.workers).toHaveLength(2);
  });
});

test('a worker that cannot start is tried again, each time later', async () => {
  const file = new URL('./fixtures/cannot-start.ts', import.meta.url).href;
  const losses: number[] = [];
  const listener = {
    ready: () => expect.unreachable(),
    finished: () => expect.unreachable(),
    lost: () => void losses.push(performance.now()),
  };
  const pool = new WorkerPool(1, listener, SILENT, file);
  await until(() => losses.length === 3);
  await pool.close();
  expect(losses[1] - losses[0]).toBeGreaterThanOrEqual(99);
  expect(losses[2] - losses[1]).toBeGreaterThanOrEqual(199);
  expect(pool.threads).toHaveLength(0);
});

test('a pool can be closed while its workers start', async () => {
  for (let round = 0; round < 3; round++) {
    const listener = { ready() {}, finished() {}, lost: () => expect.unreachable() };
    const pool = new WorkerPool(2, listener, SILENT);
    await pool.close();
    expect(pool.threads).toHaveLength(0);
  }
});

test('a worker is ended within a tile, and the pool says so', async () => {
  const seen: string[] = [];
  const listener = {
    ready: () => void seen.push('ready'),
    finished: () => void seen.push('finished'),
    lost: () => void seen.push('lost'),
  };
  const pool = new WorkerPool(1, listener, SILENT);
  await until(() => seen.length === 1);
  const fields = { query: 'real' } as const;
  const bytes = new Uint8Array(new SharedArrayBuffer(64 * 1024 * 1024)).fill(0x20);
  const limits = { bodyBytes: bytes.length } as never;
  pool.start(0, { kind: 'decode', format: 'json', bytes, fields, limits });
  pool.terminate(0);
  await until(() => seen.length === 3);
  expect(seen).toEqual(['ready', 'lost', 'ready']);
  await pool.close();
});
