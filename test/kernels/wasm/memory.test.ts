import { describe, expect, it } from 'vitest';
import type { AttentionCall } from '../../../src/domain/call.ts';
import type { Job, Kernel } from '../../../src/kernels/kernel.ts';
import { allocate } from '../../../src/kernels/memory.ts';
import { createStatus } from '../../../src/kernels/status.ts';
import { SLICE_BYTES } from '../../../src/kernels/wasm/geometry.ts';
import { wasmKernels } from '../../../src/kernels/wasm/kernel.ts';
import { chunkKeys } from '../../../src/kernels/wasm/keys.ts';
import { columnBlocks } from '../../../src/kernels/wasm/weights.ts';
import {
  allWeights,
  type CallOptions,
  causal,
  everything,
  makeCall,
  randomBias,
  randomMask,
  real,
} from '../../support/calls.ts';
import { expectSameBits } from '../../support/expect.ts';
import { selfAttention } from '../../support/projections.ts';
import { seeded } from '../../support/random.ts';
import { resultsOf, run } from '../../support/run.ts';
import { expectOracle } from '../contract/agreement.ts';

/** More keys than are in a module's memory at a time, in whole blocks and some more. */
const MANY_KEYS = 8100;

const precision = 'float32';

/**
 * What does not fit in the memory of a module is cut into pieces that the calls of the contract never need, and what
 * does fit stays there from tile to tile.
 */
describe.each(wasmKernels.map((kernel) => [kernel.name, kernel] as const))('%s', (_name, kernel) => {
  const sizes = { precision, queries: 9, newKeys: MANY_KEYS, heads: 2, kvHeads: 1, headSize: 4 } as const;
  const heavy = (): CallOptions => {
    const shape = makeCall({ ...sizes, extras: 2 }).sizes;
    return {
      ...sizes,
      extras: 2,
      score: {
        softcap: 5,
        bias: randomBias(shape, seeded(1), precision),
        alibiSlopes: real(precision, [0.001, 0.0005]),
        sinks: real(precision, [1, -1]),
      },
      visibility: {
        ...causal(1, MANY_KEYS - 9),
        windowLeft: 8000,
        forbid: randomMask(shape, seeded(2), 0.2),
        keyValid: randomMask({ ...shape, heads: 1, queries: 1 }, seeded(3), 0.9).data,
      },
    };
  };

  it('agrees with the oracle when keys do not fit in memory', () => {
    const call = makeCall(heavy());
    expect(chunkKeys(call)).toBeLessThan(MANY_KEYS);
    expectOracle(kernel, call);
  });

  it('reduces and selects weights over all chunks of keys', () => {
    const call = makeCall(heavy());
    const columns = MANY_KEYS + 2;
    const weightsOf = (changes: object) => {
      const weights = { ...allWeights(call.sizes), ...changes };
      return run(kernel, { ...call, returns: { ...call.returns, weights } }).memory;
    };
    const max = weightsOf({ reduce: 'max' }).weights;
    const { weights } = weightsOf({});
    for (let i = 0; i < max.length; i++) {
      if (max[i] !== Math.max(weights[i], weights[9 * columns + i]))
        expect.fail(`weight ${i} is not the larger`);
    }
    const strongest = weightsOf({ reduce: 'max', topK: 7 });
    for (let row = 0; row < 9; row++) {
      const values = max.subarray(row * columns, (row + 1) * columns);
      const order = Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b);
      const indices = strongest['weights.indices'].subarray(row * 7, row * 7 + 7);
      expect(Array.from(indices)).toEqual(order.slice(0, 7));
    }
  });

  it.each([
    ['whole heads', 10, 111],
    ['parts of a head', 1, 1103],
  ])('agrees with the oracle when weights are cut into blocks of %s', (_what, heads, headSize) => {
    const projections = selfAttention(1001, 1111);
    for (const layout of ['in_out', 'out_in'] as const) {
      const call = makeCall({
        precision,
        queries: 7,
        heads,
        headSize,
        projections: { ...projections, layout },
      });
      if (call.query.kind !== 'projected') throw new TypeError('projections expected');
      expect(columnBlocks(call.query.linear).blocks).toBe(2);
      expectOracle(kernel, call);
    }
  });

  it('agrees with the oracle when tokens are packed some rows at a time', () => {
    const width = 6000;
    expect(width * 9 * 4).toBeGreaterThan(SLICE_BYTES);
    for (const layout of ['in_out', 'out_in'] as const) {
      const projections = { ...selfAttention(width, 3), layout };
      expectOracle(kernel, makeCall({ precision, queries: 9, heads: 1, headSize: 5, projections }));
    }
  });

  it('takes what another job has left in memory for nothing of its own', () => {
    const projections = selfAttention(16, 16);
    const jobs = [1, 2].map((seed) =>
      jobOf(
        kernel,
        everything(makeCall({ precision, queries: 200, heads: 2, headSize: 8, projections, seed })),
      ),
    );
    jobs[0].plan.stages.forEach(({ tiles }, stage) => {
      for (let tile = 0; tile < tiles; tile++) for (const job of jobs) kernel.run(job, stage, tile);
    });
    for (const { call, memory } of jobs) {
      const alone = resultsOf(run(kernel, call).memory);
      for (const [name, expected] of Object.entries(alone)) expectSameBits(name, memory[name], expected);
    }
  });
});

function jobOf(kernel: Kernel, call: AttentionCall): Job {
  const plan = kernel.plan(call);
  return { call, plan, memory: allocate(plan), status: createStatus() };
}
