import {
  type Expectation,
  type Family,
  FLOAT32,
  FLOAT64,
  GRADIENTS,
  type Precision,
  SDPA,
  type Tolerance,
} from './adapter.ts';
import { bools, numbers } from './arrays.ts';
import type { ConformanceCase } from './cases.ts';
import { additive, type MaskFields, toRank2, toRank4 } from './masks.ts';

/** PyTorch `scaled_dot_product_attention` in float64, some with gradients. */
export const torchSdpa: Family = {
  name: 'torch-sdpa',
  exchanges(given, precision) {
    const body = bodyOf(given);
    const tolerance = torchTolerance(given, precision);
    const expect = (result: string): Expectation => ({
      result,
      expected: numbers(given.outputs[result]),
      tolerance,
    });
    const forward = { path: SDPA, body, expectations: [expect('output')] };
    if (given.inputs.grad_output === undefined) return [forward];
    const gradients = ['output', 'grad_query', 'grad_key', 'grad_value'].map(expect);
    const grad_output = given.inputs.grad_output;
    return [forward, { path: GRADIENTS, body: { ...body, grad_output }, expectations: gradients }];
  },
};

function bodyOf({ inputs, attributes }: ConformanceCase): object {
  const { query, key, value, attn_mask } = inputs;
  return {
    query,
    key,
    value,
    heads: query.shape[1],
    kv_heads: key.shape[1],
    ...(attributes.scale === null ? {} : { scale: attributes.scale }),
    ...(attributes.causal === null ? {} : { causal: attributes.causal }),
    ...(attn_mask === undefined ? {} : maskOf(attn_mask, query.shape[2])),
  };
}

/** Masks broadcast to [B, H, L, S] from the right; true: may attend. */
function maskOf(mask: ConformanceCase['inputs'][string], queries: number): MaskFields {
  const whole = toRank2(toRank4(numbers(mask)), queries);
  return mask.dtype === 'bool' ? { allow_mask: bools(whole) } : additive(whole);
}

/** The expected values are float64; cases of large values amplify what float32 rounds off the logits. */
export function torchTolerance({ name }: ConformanceCase, precision: Precision): Tolerance {
  if (precision === 'float64') return FLOAT64;
  return name.includes('large_values') ? { absolute: 1e-4, relative: 1e-4 } : FLOAT32;
}
