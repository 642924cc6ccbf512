import fc from 'fast-check';
import { LOGIT_STAGES } from '../../src/domain/call.ts';
import type { Tensor } from '../../src/domain/tensor.ts';
import { countOf } from './tensors.ts';

/*
 * Bodies as they come out of the validation: every field has its type, nothing else is sure. Shapes are drawn from a
 * few sizes, so that they fit together often enough to get past the first check.
 */

const ELEMENTS = 9 ** 4;
const REALS = new Float32Array(new SharedArrayBuffer(ELEMENTS * 4));
const BOOLS = new Uint8Array(new SharedArrayBuffer(ELEMENTS)).fill(1);
const INDICES = new Float64Array(new SharedArrayBuffer(ELEMENTS * 8));

const size = fc.constantFrom(1, 1, 2, 2, 2, 3, 4, 6, 8, 0);
const anyShape = fc.array(size, { minLength: 0, maxLength: 4 });

/** A shape that one of the given makers would make of common sizes, or any other. */
const shapes = (...likely: (readonly number[])[]) =>
  fc.oneof({ arbitrary: fc.constantFrom(...likely), weight: 12 }, { arbitrary: anyShape, weight: 1 });

const real = (...likely: number[][]) =>
  shapes(...likely).map(
    (shape): Tensor => ({ dtype: 'float32', shape, data: REALS.subarray(0, countOf(shape)) }),
  );
const bool = (...likely: number[][]) =>
  shapes(...likely).map(
    (shape): Tensor => ({ dtype: 'bool', shape, data: BOOLS.subarray(0, countOf(shape)) }),
  );
const index = (...likely: number[][]) =>
  shapes(...likely).chain((shape) =>
    fc.constantFrom(0, 1, 2, 3, -1, 0.5, 1e9).map((value): Tensor => {
      const count = countOf(shape);
      return {
        dtype: 'int32',
        shape,
        data: value === 0 ? INDICES.subarray(0, count) : new Float64Array(count).fill(value),
      };
    }),
  );

const optional = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: undefined, freq: 1 });
const rarely = <Value>(arbitrary: fc.Arbitrary<Value>) =>
  fc.tuple(fc.nat({ max: 7 }), arbitrary).map(([n, value]) => (n === 7 ? value : undefined));

const count = fc.constantFrom(1, 2, 2, 3, 4);
const offset = fc.constantFrom(0, 1, -1, 5, -(2 ** 31), 2 ** 53);

// With B = 2, H = G = 2, L = 2, S = 2 (or 4 with a past of 2), d = 4 most shapes fit together.
const masks = [
  [2, 2],
  [1, 1, 2, 2],
  [2, 2, 2, 2],
  [2, 1, 1, 2],
  [2, 2, 2, 4],
];

const options = {
  heads: fc.constantFrom(undefined, 2, 2, 2, 1, 4),
  kv_heads: fc.constantFrom(undefined, undefined, 2, 2, 1, 3),
  scale: rarely(fc.constantFrom(0, -1, 2)),
  softcap: rarely(fc.constant(2)),
  causal: rarely(
    fc.oneof(fc.constantFrom(true, false, 'none', 'upper_left', 'lower_right'), fc.record({ offset })),
  ),
  window: rarely(fc.record({ left: fc.constantFrom(null, 0, 3), right: fc.constantFrom(null, 0, 2 ** 53) })),
  allow_mask: rarely(bool(...masks)),
  forbid_mask: rarely(bool(...masks)),
  bias: rarely(real(...masks)),
  key_lengths: rarely(index([2], [2], [1])),
  key_valid: rarely(bool([2, 2], [2, 4], [2])),
  alibi_slopes: rarely(real([2], [4])),
  sinks: rarely(real([2], [1])),
  rope: rarely(
    record({
      pairing: fc.constantFrom('half', 'interleaved'),
      theta: rarely(fc.constant(500)),
      dims: rarely(fc.constantFrom(2, 3, 4, 6)),
      offset: rarely(offset),
      key_offset: rarely(offset),
      positions: rarely(index([2, 2], [2])),
      key_positions: rarely(index([2, 2], [2, 4])),
      cos: rarely(real([4, 2], [4, 1])),
      sin: rarely(real([4, 2], [4, 1])),
    }),
  ),
  empty_rows: rarely(fc.constantFrom('zero', 'error')),
  return: rarely(
    record({
      weights: optional(
        fc.oneof(
          fc.boolean(),
          record({
            heads: rarely(fc.array(count, { minLength: 1, maxLength: 3 })),
            queries: rarely(fc.array(count, { minLength: 1, maxLength: 3 })),
            reduce: rarely(fc.constantFrom('mean', 'max')),
            top_k: rarely(fc.constantFrom(1, 2, 9)),
          }),
        ),
      ),
      logits: rarely(fc.constantFrom(...LOGIT_STAGES)),
      log_sum_exp: rarely(fc.boolean()),
      kv: rarely(fc.boolean()),
    }),
  ),
};

const heads = [
  [2, 2, 2, 4],
  [2, 2, 2, 4],
  [2, 2, 8],
  [2, 2, 8],
  [2, 8],
  [2, 2, 3, 4],
];

export const anySdpaBody = record({
  query: real(...heads),
  key: real(...heads),
  value: real(...heads),
  past_key: rarely(real(...heads)),
  past_value: rarely(real(...heads)),
  // Read by the gradients only.
  grad_output: real(...heads),
  ...options,
});

const tokens = [
  [2, 2, 6],
  [2, 2, 6],
  [2, 6],
];
const matrices = [
  [6, 8],
  [6, 8],
  [8, 6],
];

export const anyMhaBody = record({
  embeddings: real(...tokens),
  context: rarely(real(...tokens)),
  value_context: rarely(real(...tokens, [2, 3, 6])),
  projections: fc.oneof(
    record({
      w_q: real(...matrices),
      w_k: real(...matrices),
      w_v: real(...matrices),
      w_o: rarely(real([8, 6], [6, 8])),
      b_q: rarely(real([8])),
      b_k: rarely(real([8])),
      b_v: rarely(real([8])),
      b_o: rarely(real([6])),
      w_qkv: rarely(real([6, 24])),
    }),
    record({
      w_q: rarely(real([6, 8])),
      w_qkv: real([6, 24], [6, 24], [24, 6], [6, 16]),
      b_qkv: rarely(real([24])),
      packed_order: optional(fc.constantFrom('qkv', 'per_head', 'per_kv_group')),
      w_o: rarely(real([8, 6])),
    }),
    record({ w_q: optional(real([6, 8])), b_qkv: optional(real([24])) }),
  ),
  layout: fc.constantFrom(undefined, 'in_out', 'out_in'),
  k_extra: rarely(real([8])),
  v_extra: rarely(real([8])),
  zero_attention: rarely(fc.boolean()),
  ...options,
});

/** A record without the fields that came out undefined, as a body that does not name them. */
function record(fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<object> {
  return fc
    .record(fields)
    .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));
}
