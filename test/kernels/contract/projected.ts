import { expect, it } from 'vitest';
import type { AttentionCall } from '../../../src/domain/call.ts';
import type { Precision } from '../../../src/domain/tensor.ts';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { overflowed } from '../../../src/kernels/status.ts';
import {
  allWeights,
  type CallOptions,
  causal,
  everything,
  makeCall,
  randomMask,
  real,
} from '../../support/calls.ts';
import { expectSameBits, expectWithin } from '../../support/expect.ts';
import { oracle } from '../../support/oracle/oracle.ts';
import { type Projections, selfAttention } from '../../support/projections.ts';
import { seeded } from '../../support/random.ts';
import { outputRows, resultsOf, run, runAll } from '../../support/run.ts';

const SELF = selfAttention(260, 40);
const CROSS: Projections = { ...SELF, width: 24, contextWidth: 36, layout: 'out_in', bias: false };

/** Tokens that fill vectors of 4, 8 and 16 and panels of two of them, nearly, half, or with one more. */
const LENGTHS = [16, 31, 48, 129, 144];

const LAYERS: Readonly<Record<string, (precision: Precision, queries: number) => CallOptions>> = {
  'a plain layer': (precision, queries) => ({ precision, queries, heads: 4, headSize: 8, projections: SELF }),
  'heads across panels of columns': (precision, queries) => ({
    precision,
    queries,
    batch: 2,
    heads: 3,
    headSize: 20,
    valueHeadSize: 7,
    projections: CROSS,
  }),
  'grouped heads of 80, causal, with a window': (precision, queries) => ({
    precision,
    queries,
    heads: 4,
    kvHeads: 2,
    headSize: 80,
    projections: CROSS,
    visibility: { ...causal(1), windowLeft: 40 },
  }),
  'another number of keys, with everything': (precision, queries) => {
    const sizes = { queries, newKeys: 96, batch: 2, heads: 2, headSize: 33 };
    return {
      ...sizes,
      precision,
      projections: CROSS,
      score: { softcap: 3, alibiSlopes: real(precision, [0.5, 0.1]), sinks: real(precision, [1, -1]) },
      visibility: {
        ...causal(2, 20),
        keyLengths: [96, 50],
        forbid: randomMask(makeCall(sizes).sizes, seeded(1), 0.2),
      },
    };
  },
};

/** A kernel may bring projected heads into whatever form it likes: it depends on what else is made of them. */
export function projected(kernel: Kernel): void {
  const { precision } = kernel;
  /** The present keys are rows, whatever attention reads. */
  const withoutPresent = (call: AttentionCall): AttentionCall => ({
    ...call,
    returns: { ...call.returns, presentKeyValue: false },
  });

  for (const [name, options] of Object.entries(LAYERS)) {
    it.each(LENGTHS)(`agrees with the oracle in ${name} of %i tokens, however heads are kept`, (length) => {
      const call = everything(makeCall(options(precision, length)));
      const expected = oracle(call);
      const kept = run(kernel, call);
      expectWithin('output', outputRows(kept), expected.output);
      for (const asked of [
        withoutPresent(call),
        { ...call, returns: { ...withoutPresent(call).returns, weights: null, logits: null } },
      ]) {
        for (const { memory } of [run(kernel, asked), runAll(kernel, asked)]) {
          for (const [result, values] of Object.entries(resultsOf(kept.memory)))
            if (memory[result] !== undefined) expectSameBits(result, memory[result], values);
        }
      }
    });
  }

  it('gives the weights of selected queries, however heads are kept, to the bit', () => {
    const call = makeCall(LAYERS['a plain layer']!(precision, 48));
    const weights = { ...allWeights(call.sizes), heads: [3, 0], queries: [47, 0, 5, 5, 31, 32] };
    const selected = { ...call, returns: { ...call.returns, weights } };
    const kept = { ...selected, returns: { ...selected.returns, presentKeyValue: true } };
    expectSameBits('weights', run(kernel, selected).memory.weights, run(kernel, kept).memory.weights);
  });

  it.each([
    ['nothing', 1e10, false],
    ['scores', 1e20, true],
    ['the projection itself', 3e37, true],
  ])('reports that %s overflows, however heads are kept', (_what, size, overflows) => {
    for (const length of [31, 32, 48]) {
      const call = makeCall(LAYERS['a plain layer']!(precision, length));
      if (call.query.kind !== 'projected') throw new TypeError('A layer projects.');
      const { data, width } = call.query.tokens;
      for (let c = 0; c < width; c++) data[5 * width + c] *= size;
      const [kept, other] = [true, false].map((presentKeyValue) =>
        overflowed(run(kernel, { ...call, returns: { ...call.returns, presentKeyValue } }).status),
      );
      expect(other).toBe(kept);
      if (precision !== 'float64' && kernel.name.startsWith('native')) expect(kept).toBe(overflows);
    }
  });
}
