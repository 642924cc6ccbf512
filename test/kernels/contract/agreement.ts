import { expect, it } from 'vitest';
import type { AttentionCall, Sizes } from '../../../src/domain/call.ts';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { emptyRows, overflowed } from '../../../src/kernels/status.ts';
import { type CallOptions, causal, everything, makeCall } from '../../support/calls.ts';
import { expectWithin } from '../../support/expect.ts';
import { type Bounded, bounded } from '../../support/oracle/bounded.ts';
import { oracle } from '../../support/oracle/oracle.ts';
import { outputRows, presentRows, run } from '../../support/run.ts';
import { OPTION_SETS } from './options.ts';

/** Around every block size that a kernel is likely to have. */
const LENGTHS = [1, 3, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257];
const HEAD_SIZES = [1, 3, 8, 64, 80];

/** The kernel gives what the oracle gives, to within the error that its precision explains. */
export function agreement(kernel: Kernel): void {
  const { precision } = kernel;

  it.each(LENGTHS)('agrees with the oracle at length %i, whatever the head size', (length) => {
    for (const headSize of length > 129 ? [8] : HEAD_SIZES) {
      const common: CallOptions = { precision, headSize, seed: length * 100 + headSize };
      expectOracle(kernel, makeCall({ ...common, queries: length, visibility: causal(1) }));
      expectOracle(kernel, makeCall({ ...common, queries: 3, newKeys: length, valueHeadSize: headSize + 1 }));
      expectOracle(kernel, makeCall({ ...common, queries: length, newKeys: 3 }));
    }
  });

  it.each(Object.entries(OPTION_SETS))('agrees with the oracle with %s', (_name, options) => {
    expectOracle(kernel, makeCall(options(precision)));
  });
}

/** Runs a call with everything returned and holds every number of it against the oracle. */
export function expectOracle(kernel: Kernel, call: AttentionCall): void {
  const expected = oracle(call);
  const job = run(kernel, everything(call));
  const { memory, status } = job;
  expectWithin('output', outputRows(job), expected.output);
  expectWithin('weights', memory.weights, expected.weights);
  expectWithin('masked logits', memory.logits, expected.logits.masked);
  expectWithin('log-sum-exp', memory.log_sum_exp, expected.log_sum_exp);
  expectWithin('present key', presentRows(job, 'present_key'), withoutExtras(expected.key, call.sizes));
  expectWithin('present value', presentRows(job, 'present_value'), withoutExtras(expected.value, call.sizes));
  expect(emptyRows(status).count).toBe(expected.emptyRows);
  expect(overflowed(status)).toBe(false);
  for (const stage of ['raw', 'scaled', 'capped'] as const) {
    const returns = { ...call.returns, logits: stage };
    expectWithin(`${stage} logits`, run(kernel, { ...call, returns }).memory.logits, expected.logits[stage]);
  }
}

/** Rows [0, S) of a [B, G, S + E, d] tensor. */
function withoutExtras(rows: Bounded, { keys, extras }: Sizes): Bounded {
  const [batch, heads, , size] = rows.shape;
  const out = bounded(batch, heads, keys, size);
  for (let block = 0; block < batch * heads; block++) {
    const from = block * (keys + extras) * size;
    for (const field of ['value', 'bound'] as const)
      out[field].set(rows[field].subarray(from, from + keys * size), block * keys * size);
  }
  return out;
}
