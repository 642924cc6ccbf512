import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { readMultiHeadAttention, readScaledDotProductAttention } from '../../src/contract/read-attention.ts';
import { type AttentionOptions, attentionOptions } from '../../src/contract/schemas/options.ts';
import type { AttentionCall } from '../../src/domain/call.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import type { Precision } from '../../src/domain/tensor.ts';
import { reference } from '../../src/kernels/reference/kernel.ts';
import { KERNELS } from '../../src/kernels/registry.ts';
import { emptyRows } from '../../src/kernels/status.ts';
import { everything } from '../support/calls.ts';
import { expectSameBits, expectWithin } from '../support/expect.ts';
import { type Bounded, UNIT_ROUNDOFF } from '../support/oracle/bounded.ts';
import { oracle } from '../support/oracle/oracle.ts';
import { outputRows, run } from '../support/run.ts';
import { mhaPlans, parameters, sdpaPlans } from './arbitraries.ts';
import { callSizes, mhaBody, sdpaBody } from './bodies.ts';
import { canonical } from './canonical.ts';

/*
 * Random calls with random options, from bodies through the readers to the kernels. Every float32 and bfloat16 kernel must
 * stay within the error that its precision explains of the float64 reference, and the reference of the test's own oracle.
 */

const ROUNDING = KERNELS.filter(({ precision }) => precision !== 'float64');
const compared = new Map(ROUNDING.map(({ name }) => [name, 0]));

afterAll(() => {
  for (const [name, count] of compared) console.log(`${count} random calls: ${name} against the reference`);
});

it('agrees on random scaled dot-product attention', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(sdpaPlans, (plan) => {
      const read = (precision: Precision) =>
        readScaledDotProductAttention(sdpaBody(plan, precision), DEFAULT_LIMITS);
      const exact = compare([read('float32'), read('bfloat16')], read('float64'));

      const body = sdpaBody({ ...plan, rank: 4 }, 'float64');
      // Without a cache, keys and queries are tensors of their own: their positions begin at 0.
      const plain = { ...tensorsOf(body), ...canonical(body, callSizes(plan), plan.past > 0) };
      expectSameAttention(readScaledDotProductAttention(plain, DEFAULT_LIMITS), exact);
    }),
    parameters(1500),
  );
});

it('agrees on random multi-head attention', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(mhaPlans, (plan) => {
      const read = (precision: Precision) => readMultiHeadAttention(mhaBody(plan, precision), DEFAULT_LIMITS);
      const exact = compare([read('float32'), read('bfloat16')], read('float64'));

      const body = mhaBody({ ...plan, packed: undefined, layout: 'in_out' }, 'float64');
      const keysFromQueries = !plan.context.startsWith('context');
      const plain = { ...tensorsOf(body), ...canonical(body, callSizes(plan), keysFromQueries) };
      expectSameAttention(readMultiHeadAttention(plain, DEFAULT_LIMITS), exact);
    }),
    parameters(1000),
  );
});

/** A body without its options. */
function tensorsOf<Body extends AttentionOptions>(body: Body): Body {
  const optionNames = new Set(Object.keys(attentionOptions));
  const isKept = (name: string) => !optionNames.has(name) || name === 'heads' || name === 'kv_heads';
  return Object.fromEntries(Object.entries(body).filter(([name]) => isKept(name))) as Body;
}

/** Holds the other kernels to the reference and the reference to the oracle; gives the reference's job. */
function compare(others: readonly AttentionCall[], double: AttentionCall) {
  const expected = oracle(double);
  const exact = run(reference, everything(double));
  expectWithin('output of the reference', outputRows(exact), expected.output);
  expectWithin('weights of the reference', exact.memory.weights, expected.weights);
  expectWithin('log-sum-exp of the reference', exact.memory.log_sum_exp, expected.log_sum_exp);
  expectWithin('logits of the reference', exact.memory.logits, expected.logits.masked);
  expect(emptyRows(exact.status).count).toBe(expected.emptyRows);

  const around = (values: ArrayLike<number>, { shape, bound }: Bounded) => ({
    shape,
    bound,
    value: Float64Array.from(values),
  });
  for (const call of others) {
    const { output, weights, log_sum_exp, logits } = oracle(call);
    for (const kernel of ROUNDING) {
      if (kernel.precision !== call.precision || kernel.supports?.(call) === false) continue;
      const job = run(kernel, everything(call));
      expectWithin('output', outputRows(job), around(outputRows(exact), output));
      expectWithin('weights', job.memory.weights, around(exact.memory.weights, weights));
      expectWithin('log-sum-exp', job.memory.log_sum_exp, around(exact.memory.log_sum_exp, log_sum_exp));
      expectWithin('logits', job.memory.logits, around(exact.memory.logits, logits.masked));
      expect(emptyRows(job.status)).toEqual(emptyRows(exact.status));
      const alone = run(kernel, call).memory.output;
      expectSameBits('output when nothing else is returned', alone, job.memory.output);
      compared.set(kernel.name, compared.get(kernel.name)! + 1);
    }
  }
  return { job: exact, bounds: expected };
}

/** The plain words give the same attention; only their bias and angles were rounded by other steps. */
function expectSameAttention(plain: AttentionCall, { job, bounds }: ReturnType<typeof compare>): void {
  const other = run(reference, everything(plain));
  const looser = UNIT_ROUNDOFF.float64 * 8;
  const expected = {
    ...bounds.output,
    value: outputRows(job),
    bound: bounds.output.bound.map((bound) => 8 * bound + looser),
  };
  expectWithin('output of the plain words', outputRows(other), expected);
  expect(emptyRows(other.status)).toEqual(emptyRows(job.status));
}

it('compared every kernel on enough calls', () => {
  for (const count of compared.values()) expect(count).toBeGreaterThanOrEqual(2000);
});
