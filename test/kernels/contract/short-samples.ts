import { expect, it } from 'vitest';
import type { AttentionCall } from '../../../src/domain/call.ts';
import type { Kernel, Memory } from '../../../src/kernels/kernel.ts';
import { type CallOptions, causal, everything, makeCall, range } from '../../support/calls.ts';
import { expectSameBits, expectWithin } from '../../support/expect.ts';
import { oracle } from '../../support/oracle/oracle.ts';
import { type Projections, selfAttention } from '../../support/projections.ts';
import { outputRows, resultsOf, run, runAll } from '../../support/run.ts';
import { sampleOf } from '../../support/slices.ts';

/** Panels of 8, 16 and 32 tokens have some of several samples then, and parts of some. */
const BATCH = 45;
const LENGTHS = [1, 2, 3, 5, 7];

const SELF = selfAttention(40, 33);
const CROSS: Projections = { ...SELF, contextWidth: 24, layout: 'out_in' };

const LAYERS: Readonly<Record<string, (queries: number) => CallOptions>> = {
  'a plain layer': (queries) => ({ queries, heads: 4, headSize: 8, projections: SELF }),
  'a layer without an output projection': (queries) => ({
    queries,
    heads: 2,
    headSize: 20,
    projections: { ...SELF, outputWidth: null },
  }),
  'grouped causal heads with a past': (queries) => ({
    queries,
    past: 4,
    heads: 4,
    kvHeads: 2,
    headSize: 10,
    valueHeadSize: 7,
    projections: SELF,
    visibility: causal(BATCH, 4),
  }),
  'another number of keys': (queries) => ({
    queries,
    newKeys: 6,
    heads: 3,
    headSize: 12,
    projections: CROSS,
  }),
  'more keys than a panel has': (queries) => ({ queries, newKeys: 70, headSize: 8, projections: CROSS }),
  rotations: (queries) => ({
    queries,
    headSize: 8,
    projections: SELF,
    rope: {
      pairing: 'half',
      theta: 10000,
      dims: 8,
      queryPositions: { kind: 'from', first: 3 },
      keyPositions: { kind: 'from', first: 3 },
      table: null,
    },
  }),
};

/** The results of one sample of a batch. */
const ofSample = (memory: Memory, sample: number) =>
  Object.entries(memory).map(([name, values]) => {
    const size = values.length / BATCH;
    return [name, values.subarray(sample * size, (sample + 1) * size)] as const;
  });

/** Samples of few tokens: a kernel may put those of several together. */
export function shortSamples(kernel: Kernel): void {
  const { precision } = kernel;
  const layer = (options: CallOptions) => everything(makeCall({ precision, batch: BATCH, ...options }));

  for (const [name, options] of Object.entries(LAYERS)) {
    it.each(LENGTHS)(
      `computes samples of %i tokens as they would be alone, to the bit, in ${name}`,
      (length) => {
        const call = layer(options(length));
        const together = run(kernel, call);
        expectWithin('output', outputRows(together), oracle(call).output);
        for (const [result, values] of Object.entries(resultsOf(runAll(kernel, call, 1).memory)))
          expectSameBits(result, values, together.memory[result]);
        for (const sample of [0, 10, 11, BATCH - 1]) {
          const alone = resultsOf(run(kernel, sampleOf(call, sample)).memory);
          for (const [result, values] of ofSample(resultsOf(together.memory), sample))
            expectSameBits(result, alone[result], values);
        }
      },
    );
  }

  it('computes a token alone as it would be among those of other samples where sums are long', () => {
    const sizes = { batch: 3, queries: 1, heads: 5, kvHeads: 5, headSize: 40 };
    const call = makeCall({ ...sizes, precision, projections: selfAttention(600, 150) });
    const whole = run(kernel, call).memory.output;
    for (const sample of range(sizes.batch)) {
      const alone = run(kernel, sampleOf(call, sample)).memory.output;
      const { length } = alone;
      expectSameBits('output', alone, whole.subarray(sample * length, (sample + 1) * length));
    }
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 1e30])(
    'keeps a token of %d from all other samples',
    (size) => {
      for (const length of LENGTHS) {
        const call = layer(LAYERS['a plain layer'](length));
        const expected = run(kernel, call).memory.output.slice();
        tokensOf(call).fill(size, 11 * length * SELF.width, 12 * length * SELF.width);
        const { output } = run(kernel, call).memory;
        const rows = (output.length / BATCH) * 11;
        expectSameBits('output', output.subarray(0, rows), expected.subarray(0, rows));
        const behind = (output.length / BATCH) * 12;
        expectSameBits('output', output.subarray(behind), expected.subarray(behind));
        expect(output.subarray(rows, behind)).not.toEqual(expected.subarray(rows, behind));
      }
    },
  );
}

function tokensOf({ query }: AttentionCall) {
  if (query.kind !== 'projected') throw new TypeError('A layer projects.');
  return query.tokens.data;
}
