import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { describe, expect, test } from 'vitest';
import { allocate } from '../../src/kernels/memory.ts';
import { nativeKernels } from '../../src/kernels/native/kernel.ts';
import { createStatus } from '../../src/kernels/status.ts';
import { everything, makeCall } from '../support/calls.ts';
import { expectSameBits } from '../support/expect.ts';
import { selfAttention } from '../support/projections.ts';
import { resultsOf } from '../support/run.ts';
import { computeHere, until, withEngine } from './support.ts';

const kernel = nativeKernels.find(({ precision }) => precision === 'float32');

/** Of some milliseconds, in several stages. */
const callOf = (seed: number) =>
  makeCall({
    seed,
    precision: 'float32',
    heads: 8,
    queries: 200,
    projections: {
      width: 256,
      contextWidth: 256,
      layout: 'in_out',
      packed: null,
      bias: true,
      outputWidth: 256,
    },
  });

/** Of some tens of milliseconds. */
const longCall = () =>
  makeCall({ precision: 'float32', heads: 12, queries: 1500, newKeys: 1500, headSize: 64 });

describe.skipIf(kernel === undefined)('helpers of the native kernels', () => {
  test('change no bit, whoever they help of those who compute at the same time', async () => {
    const calls = Array.from({ length: 6 }, (_, seed) => everything(callOf(seed)));
    const expected = calls.map((call) => resultsOf(computeHere(kernel!, call)));
    await withEngine({ threads: 3, kernel: kernel!.name }, async (engine) => {
      for (const atOnce of [1, 2, 6]) {
        for (let first = 0; first < calls.length; first += atOnce) {
          const some = calls.slice(first, first + atOnce);
          const tickets = some.map(() => engine.admit(0));
          const results = await Promise.all(some.map((call, index) => tickets[index].compute(call)));
          for (const [index, { memory }] of results.entries())
            for (const [name, values] of Object.entries(expected[first + index]))
              expectSameBits(name, memory[name], values);
          for (const ticket of tickets) ticket.release();
        }
      }
    });
  });

  test('stop with the call that they help, and help the next', async () => {
    await withEngine({ threads: 2, kernel: kernel!.name }, async (engine) => {
      const expected = computeHere(kernel!, longCall()).output;
      for (let turn = 0; turn < 5; turn++) {
        const cancelled = engine.admit(0);
        const job = cancelled.compute(longCall());
        await until(() => engine.stats().runningSlices > 0);
        cancelled.cancel();
        cancelled.release();
        await expect(job).rejects.toThrow('cancelled');
        const next = engine.admit(0);
        const { memory } = await next.compute(longCall());
        expectSameBits('output', memory.output, expected);
        next.release();
      }
    });
  });

  test('do a long batch group by group of its samples, and let others in between', async () => {
    // Twice as much workspace as all second-level caches have room for.
    const batch = Math.max(16, 2 * availableParallelism());
    const projections = selfAttention(768, 768);
    const call = makeCall({
      precision: 'float32',
      batch,
      heads: 12,
      queries: 128,
      headSize: 64,
      projections,
    });
    const { groups, stages } = kernel!.plan(call);
    expect(groups!.length).toBeGreaterThan(1);
    const expected = computeHere(kernel!, call).output;
    await withEngine({ threads: 1, kernel: kernel!.name }, async (engine) => {
      const tickets = [engine.admit(0), engine.admit(0)];
      const order: string[] = [];
      const long = tickets[0].compute(call).then(({ memory }) => {
        order.push('long');
        return memory.output;
      });
      await until(() => engine.stats().runningSlices > 0);
      await tickets[1].compute(callOf(1)).then(() => order.push('short'));
      expectSameBits('output', await long, expected);
      expect(order).toEqual(['short', 'long']);
      const tiles = [...stages, ...kernel!.plan(callOf(1)).stages].reduce(
        (sum, stage) => sum + stage.tiles,
        0,
      );
      expect(engine.stats().tilesComputed).toBe(tiles);
      for (const ticket of tickets) ticket.release();
    });
  });

  test.skipIf(process.platform !== 'linux')('are as many as are asked for, by their name', async () => {
    const call = longCall();
    const plan = kernel!.plan(call);
    const job = { call, plan, memory: allocate(plan), status: createStatus() };
    const helpers = () =>
      readdirSync('/proc/self/task')
        .map((task) => readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim())
        .filter((name) => name === 'attn-helper').length;
    // Each is started by the one before.
    await until(() => {
      kernel!.runAll(job, 4);
      return helpers() >= 4;
    });
    for (let turn = 0; turn < 5; turn++) kernel!.runAll(job, 4);
    expect(helpers()).toBe(4);
  });
});
