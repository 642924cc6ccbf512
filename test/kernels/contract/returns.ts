import { expect, it } from 'vitest';
import { LOGIT_STAGES, type Returns, type WeightSelection } from '../../../src/domain/call.ts';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import {
  allWeights,
  type CallOptions,
  causal,
  everything,
  makeCall,
  randomMask,
  range,
  real,
} from '../../support/calls.ts';
import { expectSameBits } from '../../support/expect.ts';
import { UNIT_ROUNDOFF } from '../../support/oracle/bounded.ts';
import { selfAttention } from '../../support/projections.ts';
import { seeded } from '../../support/random.ts';
import { run } from '../../support/run.ts';

/** Names of what a call returns. */
const RESULT = /^(?:output|weights|logits|log_sum_exp|present_|grad_)/;

/** The output is the same whatever is returned besides it, and what is returned is one thing seen from many sides. */
export function returns(kernel: Kernel): void {
  const { precision } = kernel;
  const call = makeCall({
    precision,
    batch: 2,
    queries: 37,
    newKeys: 70,
    past: 4,
    heads: 4,
    kvHeads: 2,
    extras: 1,
    score: { softcap: 5, sinks: real(precision, [0, 1, -1, 3]) },
    visibility: causal(2, 30),
  });
  const { sizes } = call;
  const columns = sizes.keys + sizes.extras;
  const all = allWeights(sizes);
  const selections: Record<string, WeightSelection | null> = {
    none: null,
    all,
    selected: { ...all, heads: [3, 0], queries: [36, 0, 5, 5] },
    mean: { ...all, reduce: 'mean' },
    max: { ...all, heads: [2, 1], reduce: 'max' },
    strongest: { ...all, topK: 5 },
    'strongest of the mean': { ...all, reduce: 'mean', topK: columns },
  };
  const weightsOf = (weights: WeightSelection) =>
    run(kernel, { ...call, returns: { ...call.returns, weights } }).memory;
  const whole = () => weightsOf(all).weights;
  const rowOf = (weights: ArrayLike<number>, row: number) =>
    Array.from({ length: columns }, (_, j) => weights[row * columns + j]);

  it('has nothing but workspace before the output', () => {
    const { memory } = run(kernel, everything(call));
    const results = Object.keys(memory).filter((name) => RESULT.test(name));
    expect(results).toContain('present_key');
    const end = memory.output.byteOffset;
    expect(results.filter((name) => memory[name].byteOffset < end)).toEqual([]);
  });

  it('gives the same output, to the bit, for every combination of returns', () => {
    const bare = run(kernel, call).memory.output;
    let combinations = 0;
    for (const [name, weights] of Object.entries(selections))
      for (const logits of [null, ...LOGIT_STAGES])
        for (const logSumExp of [false, true])
          for (const presentKeyValue of [false, true]) {
            const asked: Returns = { weights, logits, logSumExp, presentKeyValue };
            const what = `output with weights ${name}, logits ${logits}, ${logSumExp}, ${presentKeyValue}`;
            expectSameBits(what, run(kernel, { ...call, returns: asked }).memory.output, bare);
            combinations++;
          }
    expect(combinations).toBe(140);
  });

  it('gives selected heads and queries in the order asked, to the bit', () => {
    const { heads, queries } = selections.selected!;
    const selected = weightsOf(selections.selected!).weights;
    const weights = whole();
    let row = 0;
    for (const b of range(sizes.batch))
      for (const h of heads)
        for (const i of queries)
          expect(rowOf(selected, row++)).toEqual(rowOf(weights, (b * sizes.heads + h) * sizes.queries + i));
  });

  const sizesOfMaps = { batch: 2, queries: 37, newKeys: 300, heads: 4, kvHeads: 2, headSize: 20 } as const;
  const mask = randomMask(makeCall({ precision, ...sizesOfMaps }).sizes, seeded(3), 0.3);
  const ways: Record<string, CallOptions> = {
    plain: {},
    'causal, with rows that see nothing': { visibility: { ...causal(2), offsets: [-9, 263] } },
    'a window, and positions beyond the keys': {
      visibility: { ...causal(2), offsets: [100, 290], windowLeft: 20 },
    },
    'padding and extra keys': { extras: 3, visibility: { keyLengths: [0, 131] } },
    'a mask, extra keys and sinks': {
      extras: 1,
      score: { sinks: real(precision, [0, 9, -9, 1]) },
      visibility: { allow: mask },
    },
    'few queries': { queries: 2, newKeys: 700, extras: 2, visibility: { ...causal(2), offsets: [600, -1] } },
    'a short layer': { newKeys: 37, projections: selfAttention(24, 12), visibility: causal(2, -3) },
  };
  it.each(Object.entries(ways))(
    'gives all rows of %s as those that are selected, to the bit',
    (_, options) => {
      const { returns, ...call } = makeCall({ precision, ...sizesOfMaps, ...options });
      const weightsWith = (weights: WeightSelection) =>
        run(kernel, { ...call, returns: { ...returns, weights } }).memory.weights;
      const { sizes } = call;
      const every = allWeights(sizes);
      const backwards = { ...every, queries: every.queries.toReversed() };
      const columns = sizes.keys + sizes.extras;
      const [expected, actual] = [weightsWith(backwards), weightsWith(every)];
      for (const head of range(sizes.batch * sizes.heads)) {
        for (const i of range(sizes.queries)) {
          const row = head * sizes.queries + i;
          const mirrored = head * sizes.queries + sizes.queries - 1 - i;
          const slice = (all: ArrayLike<number>, at: number) =>
            Float64Array.from({ length: columns }, (_, j) => all[at * columns + j]);
          expectSameBits(`row ${row}`, slice(actual, row), slice(expected, mirrored));
        }
      }
    },
  );

  it('reduces over heads by the mean and the maximum', () => {
    const weights = whole();
    const [mean, max] = [weightsOf(selections.mean!).weights, weightsOf(selections.max!).weights];
    for (const b of range(sizes.batch))
      for (const i of range(sizes.queries)) {
        const rows = range(sizes.heads).map((h) => rowOf(weights, (b * sizes.heads + h) * sizes.queries + i));
        const row = b * sizes.queries + i;
        expect(rowOf(max, row)).toEqual(range(columns).map((j) => Math.max(rows[2][j], rows[1][j])));
        for (const j of range(columns)) {
          const expected = rows.reduce((sum, values) => sum + values[j], 0) / sizes.heads;
          const bound = 2 * (sizes.heads + 2) * UNIT_ROUNDOFF[precision] * expected;
          expect(Math.abs(mean[row * columns + j] - expected)).toBeLessThanOrEqual(bound);
        }
      }
  });

  it.each([
    ['all heads', all],
    ['the mean of the heads', selections.mean!],
  ])('gives the strongest keys of %s, strongest first, ties by lower index', (_name, selection) => {
    for (const topK of [1, 5, columns]) {
      const weights = weightsOf(selection).weights;
      const memory = weightsOf({ ...selection, topK });
      const [indices, values] = [memory['weights.indices'], memory['weights.values']];
      for (const row of range(weights.length / columns)) {
        const values_ = rowOf(weights, row);
        const strongest = range(columns).sort((a, b) => values_[b] - values_[a] || a - b);
        const got = Array.from(indices.subarray(row * topK, (row + 1) * topK));
        // Weights that are equal once rounded may have differed before; the values decide, then the index.
        expect(Array.from(values.subarray(row * topK, (row + 1) * topK))).toEqual(got.map((j) => values_[j]));
        expect(got.map((j) => values_[j])).toEqual(strongest.slice(0, topK).map((j) => values_[j]));
        expect(new Set(got).size).toBe(topK);
      }
    }
  });

  it.each([6, 70])('breaks ties of %i keys by the lower index', (newKeys) => {
    const equal = makeCall({ precision, queries: 2, newKeys, score: { scale: 0 } });
    const weights = { ...allWeights(equal.sizes), topK: 4 };
    const { memory } = run(kernel, { ...equal, returns: { ...equal.returns, weights } });
    expect(Array.from(memory['weights.indices'])).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
  });
}
