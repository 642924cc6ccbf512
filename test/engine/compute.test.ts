import { describe, expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { Engine } from '../../src/engine/engine.ts';
import { KERNELS } from '../../src/kernels/registry.ts';
import { causal, everything, makeCall, withGradients } from '../support/calls.ts';
import { expectSameBits } from '../support/expect.ts';
import { resultsOf } from '../support/run.ts';
import { computeHere, withEngine } from './support.ts';

const SIZES = {
  big: { batch: 2, heads: 4, kvHeads: 2, queries: 150, newKeys: 170, headSize: 16 },
  // All stages go to one worker as one slice.
  small: { batch: 2, heads: 2, kvHeads: 1, queries: 9, newKeys: 11, headSize: 8 },
};

describe.each([1, 2, 3])('with %i worker threads', (threads) => {
  const cases = KERNELS.flatMap((kernel) => (['big', 'small'] as const).map((size) => ({ kernel, size })));

  test.each(cases)(
    'a $size call by $kernel.name is as by one thread, to the bit',
    async ({ kernel, size }) => {
      const { precision } = kernel;
      const call = everything(makeCall({ ...SIZES[size], precision, visibility: causal(2, 20) }));
      const forced = precision === 'float64' ? undefined : kernel.name;
      await withEngine({ threads, kernel: forced }, async (engine) => {
        const ticket = engine.admit(0);
        const result = await ticket.compute(call);
        ticket.release();
        expect(result.kernel).toBe(kernel.name);
        for (const [name, expected] of Object.entries(resultsOf(computeHere(kernel, call))))
          expectSameBits(name, result.memory[name], expected);
        expect(result.memory.output.some((value) => value !== 0)).toBe(true);
        expect(result).toMatchObject({ emptyRows: { count: 0, first: null }, overflowed: false });
      });
    },
  );

  // Keys for several rounds of blocks, which all add to grad_query.
  const sizes = { batch: 2, heads: 4, kvHeads: 2, queries: 70, newKeys: 1300, headSize: 8 };
  const gradientCalls = KERNELS.map((kernel) => ({
    kernel,
    call: withGradients(makeCall({ ...sizes, precision: kernel.precision, visibility: causal(2, 1240) })),
  })).filter(({ kernel, call }) => kernel.supports?.(call) !== false);

  test.each(gradientCalls)(
    'gradients by $kernel.name are as by one thread, to the bit',
    async ({ kernel, call }) => {
      const forced = kernel.precision === 'float64' ? undefined : kernel.name;
      await withEngine({ threads, kernel: forced }, async (engine) => {
        const ticket = engine.admit(0);
        const result = await ticket.compute(call);
        ticket.release();
        expect(result.kernel).toBe(kernel.name);
        for (const [name, expected] of Object.entries(resultsOf(computeHere(kernel, call))))
          expectSameBits(name, result.memory[name], expected);
      });
    },
  );
});

test('empty rows are counted and the first one named', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const visibility = { ...causal(1, -2) };
    const ticket = engine.admit(0);
    const { emptyRows } = await ticket.compute(makeCall({ heads: 2, queries: 4, newKeys: 4, visibility }));
    ticket.release();
    expect(emptyRows).toEqual({ count: 4, first: 0 });
  });
});

test('a call without queries has an empty result', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const ticket = engine.admit(0);
    const { memory } = await ticket.compute(makeCall({ queries: 0, newKeys: 4 }));
    ticket.release();
    expect(memory.output).toHaveLength(0);
  });
});

test('times of waiting and computing are kept apart', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const ticket = engine.admit(0);
    await ticket.compute(makeCall({ queries: 64, headSize: 32 }));
    ticket.release();
    expect(ticket.timings.computeMs).toBeGreaterThan(0);
    expect(ticket.timings.queueMs).toBeGreaterThanOrEqual(0);
    expect(ticket.timings).toMatchObject({ decodeMs: 0, encodeMs: 0 });
  });
});

test('a kernel that is not there is refused at the start', () => {
  expect(() => new Engine({ threads: 1, limits: DEFAULT_LIMITS, kernel: 'nothing' })).toThrow('nothing');
});
