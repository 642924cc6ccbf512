import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import type { Precision } from '../../src/domain/tensor.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { Kernel } from '../../src/kernels/kernel.ts';
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

const calls = (precision: Precision) =>
  (['big', 'small'] as const).map((size) => ({
    what: `a ${size} call`,
    call: everything(makeCall({ ...SIZES[size], precision, visibility: causal(2, 20) })),
  }));

/** With keys for several rounds of blocks, which all add to grad_query; none where the kernel has no gradients. */
function gradients(kernel: Kernel) {
  const sizes = { batch: 2, heads: 4, kvHeads: 2, queries: 70, newKeys: 1300, headSize: 8 };
  const { precision } = kernel;
  const call = withGradients(makeCall({ ...sizes, precision, visibility: causal(2, 1240) }));
  return kernel.supports?.(call) === false ? [] : [{ what: 'gradients', call }];
}

describe.each([1, 2, 3])('with %i worker threads', (threads) => {
  describe.each(KERNELS)('by $name', (kernel) => {
    const { precision } = kernel;
    let engine: Engine;
    beforeAll(async () => {
      const forced = precision === 'float64' ? undefined : kernel.name;
      engine = new Engine({ threads, limits: DEFAULT_LIMITS, kernel: forced });
      await engine.ready();
    });
    afterAll(() => engine.close());

    test.each([...calls(precision), ...gradients(kernel)])(
      '$what: the results are as by one thread, to the bit',
      async ({ call }) => {
        const ticket = engine.admit(0);
        const result = await ticket.compute(call);
        ticket.release();
        expect(result.kernel).toBe(kernel.name);
        for (const [name, expected] of Object.entries(resultsOf(computeHere(kernel, call))))
          expectSameBits(name, result.memory[name], expected);
        expect(result.memory.output.some((value) => value !== 0)).toBe(true);
        expect(result).toMatchObject({ emptyRows: { count: 0, first: null }, overflowed: false });
      },
    );
  });
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
