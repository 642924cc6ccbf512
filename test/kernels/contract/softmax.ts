import { expect, it } from 'vitest';
import type { AttentionCall } from '../../../src/domain/call.ts';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { emptyRows, overflowed } from '../../../src/kernels/status.ts';
import { causal, everything, makeCall, real } from '../../support/calls.ts';
import { expectWithin } from '../../support/expect.ts';
import { sumError, UNIT_ROUNDOFF } from '../../support/oracle/bounded.ts';
import { oracle } from '../../support/oracle/oracle.ts';
import { outputRows, run } from '../../support/run.ts';

const SHIFTS = [-20_000, -88, 0, 88, 20_000];

/** What makes softmax a softmax, at any height of the scores. */
export function softmax(kernel: Kernel): void {
  const { precision } = kernel;

  it.each(SHIFTS)('gives the same weights when every score is shifted by %i', (shift) => {
    const call = makeCall({ precision, queries: 37, newKeys: 70, headSize: 8, score: { scale: 1 } });
    // The last component of every query becomes 1 and that of every key the shift: q·k moves by it.
    const shifted = withColumn(withColumn(call, 'query', 1), 'key', shift);
    const unshifted = oracle(withColumn(withColumn(call, 'query', 1), 'key', 0));
    const job = run(kernel, everything(shifted));
    const bounds = oracle(shifted);
    expectWithin('output', outputRows(job), { ...bounds.output, value: unshifted.output.value });
    expectWithin('weights', job.memory.weights, { ...bounds.weights, value: unshifted.weights.value });
    expect(overflowed(job.status)).toBe(false);
  });

  it.each(SHIFTS)('gives the same weights when a bias shifts every logit by %i', (shift) => {
    const call = makeCall({ precision, queries: 37, newKeys: 70, headSize: 8 });
    const bias = {
      data: real(precision, new Array(70).fill(shift)),
      batchStride: 0,
      headStride: 0,
      queryStride: 0,
    };
    const shifted = { ...call, score: { ...call.score, bias } };
    const bounds = oracle(shifted);
    const job = run(kernel, everything(shifted));
    expectWithin('output', outputRows(job), { ...bounds.output, value: oracle(call).output.value });
    expectWithin('log-sum-exp', job.memory.log_sum_exp, bounds.log_sum_exp);
  });

  it('takes scores that are far apart: one key takes all the weight', () => {
    const call = makeCall({ precision, queries: 5, newKeys: 130, headSize: 3, score: { scale: 30_000 } });
    const job = run(kernel, everything(call));
    expectWithin('output', outputRows(job), oracle(call).output);
    for (const weight of job.memory.weights) expect(Number.isFinite(weight)).toBe(true);
  });

  it.each([-8.5, -12, -16])('does not lose thousands of small weights, e^%d, beside a large one', (low) => {
    for (const keys of [100, 1025, 4097]) {
      const logits = new Array(keys).fill(low);
      logits[keys >> 1] = 0;
      const bias = { data: real(precision, logits), batchStride: 0, headStride: 0, queryStride: 0 };
      const call = makeCall({ precision, queries: 1, newKeys: keys, headSize: 1, score: { scale: 0, bias } });
      const weights = run(kernel, everything(call)).memory.weights;
      const expected = 1 / (1 + (keys - 1) * Math.exp(low));
      // All terms are positive, so the sum's relative error is that of its additions; 8u for exp, quotient and rounding.
      const bound = (sumError(keys) + 8) * UNIT_ROUNDOFF[precision];
      expect(Math.abs(weights[keys >> 1] / expected - 1)).toBeLessThanOrEqual(bound);
      expect(Math.abs(weights[0] / (expected * Math.exp(low)) - 1)).toBeLessThanOrEqual(
        bound + 40 * UNIT_ROUNDOFF[precision],
      );
    }
  });

  it('gives rows of weights that sum to 1 within S·eps', () => {
    for (const keys of [1, 7, 64, 65, 129, 300]) {
      const call = makeCall({
        precision,
        queries: 9,
        newKeys: keys,
        headSize: 8,
        heads: 2,
        visibility: causal(1, keys - 5),
      });
      const { weights } = run(kernel, everything(call)).memory;
      const rows = weights.length / keys;
      for (let row = 0; row < rows; row++) {
        const values = Array.from(weights.subarray(row * keys, (row + 1) * keys));
        const sum = values.reduce((total, weight) => total + weight, 0);
        const isEmpty = values.every((weight) => weight === 0);
        if (!isEmpty)
          expect(Math.abs(sum - 1)).toBeLessThanOrEqual(2 * (keys + 2) * UNIT_ROUNDOFF[precision]);
        expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
      }
    }
  });

  it('gives zeros for a query that may see no key, and counts it', () => {
    const call = makeCall({
      precision,
      batch: 2,
      heads: 2,
      queries: 6,
      newKeys: 4,
      visibility: causal(2, -2),
    });
    const { memory, status } = run(kernel, everything(call));
    expect(emptyRows(status)).toEqual({ count: 8, first: 0 });
    for (let b = 0; b < 2; b++)
      for (let h = 0; h < 2; h++) {
        const row = (b * 2 + h) * 6;
        expect(Array.from(memory.output.subarray(row * 8, (row + 2) * 8))).toEqual(new Array(16).fill(0));
        expect(Array.from(memory.weights.subarray(row * 4, (row + 2) * 4))).toEqual(new Array(8).fill(0));
        expect(memory.log_sum_exp[row]).toBe(Number.NEGATIVE_INFINITY);
        expect(memory.log_sum_exp[row + 2]).not.toBe(Number.NEGATIVE_INFINITY);
      }
  });

  it.each([1, 40])('takes no overflow for the cap of a softcap: %d queries', (queries) => {
    const huge = precision === 'float64' ? 1e200 : 1e30;
    const call = makeCall({ precision, queries, newKeys: 2, headSize: 2, score: { softcap: 5 } });
    const key = [huge, -2 * huge, 0, 0];
    const loud = withData(withData(call, 'query', new Array(2 * queries).fill(huge)), 'key', key);
    const { memory, status } = run(kernel, everything(loud));
    // q·k is -Infinity, and its cap -5, or more than the precision holds on the way: never the cap of +Infinity.
    const [weight] = memory.weights;
    if (!overflowed(status)) expect(weight).toBeCloseTo(1 / (1 + Math.exp(5)), 5);
  });

  it.each([1, 40])(
    'takes no logit that is too large for the smallest, though a bias is added: %d queries',
    (queries) => {
      const huge = precision === 'float64' ? 1e308 : 3e38;
      const data = real(precision, [0, 0, 0]);
      const bias = { data, batchStride: 0, headStride: 0, queryStride: 0 };
      const call = makeCall({ precision, queries, newKeys: 3, headSize: 2, score: { bias } });
      // A kernel that sums in a wider type knows them, and they are alike.
      const isWider = kernel.name.startsWith('portable');
      for (const key of [huge, -huge]) {
        const loud = withColumn(withColumn(call, 'query', huge), 'key', key);
        const { memory } = run(kernel, everything(loud));
        expect(overflowed(run(kernel, loud).status)).toBe(!isWider);
        if (isWider)
          expect(Array.from(memory.weights.subarray(0, 3))).toEqual(new Array(3).fill(expect.closeTo(1 / 3)));
      }
      expect(overflowed(run(kernel, call).status)).toBe(false);
    },
  );

  it('reports logits and log-sum-exps that are too large for the precision', () => {
    const huge = precision === 'float64' ? 1e308 : 3e38;
    const call = makeCall({ precision, queries: 2, newKeys: 3, headSize: 2 });
    for (const key of [huge, -huge]) {
      const loud = withColumn(withColumn(call, 'query', huge), 'key', key);
      for (const returns of [{ logits: 'raw' }, { logits: 'masked' }, { logSumExp: true }] as const)
        expect(overflowed(run(kernel, { ...loud, returns: { ...call.returns, ...returns } }).status)).toBe(
          true,
        );
      expect(overflowed(run(kernel, { ...call, returns: { ...call.returns, logits: 'raw' } }).status)).toBe(
        false,
      );
    }
  });
}

/** Sets the last component of every row. */
function withData(call: AttentionCall, role: 'query' | 'key', numbers: readonly number[]): AttentionCall {
  const source = call[role];
  if (source.kind !== 'given') throw new TypeError('given heads expected');
  const data = real(call.precision, numbers);
  return { ...call, [role]: { ...source, view: { ...source.view, data } } };
}

function withColumn(call: AttentionCall, role: 'query' | 'key', value: number): AttentionCall {
  const source = call[role];
  if (source.kind !== 'given') throw new TypeError('given heads expected');
  const data = source.view.data.slice();
  for (let at = call.sizes.headSize - 1; at < data.length; at += call.sizes.headSize) data[at] = value;
  return { ...call, [role]: { ...source, view: { ...source.view, data } } };
}
