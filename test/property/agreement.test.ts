import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { readMultiHeadAttention, readScaledDotProductAttention } from '../../src/contract/read-attention.ts';
import { type AttentionOptions, attentionOptions } from '../../src/contract/schemas/options.ts';
import type { AttentionCall } from '../../src/domain/call.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { portable } from '../../src/kernels/portable/kernel.ts';
import { reference } from '../../src/kernels/reference/kernel.ts';
import { emptyRows } from '../../src/kernels/status.ts';
import { everything } from '../support/calls.ts';
import { expectSameBits, expectWithin } from '../support/expect.ts';
import { UNIT_ROUNDOFF } from '../support/oracle/bounded.ts';
import { oracle } from '../support/oracle/oracle.ts';
import { outputRows, run } from '../support/run.ts';
import { mhaPlans, parameters, sdpaPlans } from './arbitraries.ts';
import { callSizes, mhaBody, sdpaBody } from './bodies.ts';
import { canonical } from './canonical.ts';

/*
 * Random calls with random options, from bodies through the readers to both kernels. The float32 kernel must stay
 * within the error that its precision explains of the float64 reference, and the reference of the test's own oracle.
 */

let compared = 0;
afterAll(() => console.log(`${compared} random calls: float32 kernel against the float64 reference`));

it('agrees on random scaled dot-product attention', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(sdpaPlans, (plan) => {
      const read = (precision: 'float32' | 'float64') =>
        readScaledDotProductAttention(sdpaBody(plan, precision), DEFAULT_LIMITS);
      const exact = compare(read('float32'), read('float64'));

      const body = sdpaBody(plan, 'float64');
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
      const read = (precision: 'float32' | 'float64') =>
        readMultiHeadAttention(mhaBody(plan, precision), DEFAULT_LIMITS);
      const exact = compare(read('float32'), read('float64'));

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

/** Holds the float32 kernel to the reference and the reference to the oracle; gives the reference's job. */
function compare(single: AttentionCall, double: AttentionCall) {
  const bounds = oracle(single);
  const expected = oracle(double);
  const rounded = run(portable, everything(single));
  const exact = run(reference, everything(double));

  const pairs = [
    ['output', outputRows(rounded), outputRows(exact), 'output'],
    ['weights', rounded.memory.weights, exact.memory.weights, 'weights'],
    ['log-sum-exp', rounded.memory.log_sum_exp, exact.memory.log_sum_exp, 'log_sum_exp'],
  ] as const;
  for (const [what, float32, float64, name] of pairs) {
    expectWithin(`${what} of the reference`, float64, expected[name]);
    expectWithin(what, float32, { ...bounds[name], value: Float64Array.from(float64) });
  }
  expectWithin('logits of the reference', exact.memory.logits, expected.logits.masked);
  expectWithin('logits', rounded.memory.logits, {
    ...bounds.logits.masked,
    value: Float64Array.from(exact.memory.logits),
  });
  expect(emptyRows(rounded.status)).toEqual(emptyRows(exact.status));
  expect(emptyRows(exact.status).count).toBe(expected.emptyRows);

  expectSameBits(
    'output when nothing else is returned',
    run(portable, single).memory.output,
    rounded.memory.output,
  );
  compared++;
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
