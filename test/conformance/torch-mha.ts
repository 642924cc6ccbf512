import { type Expectation, type Family, MHA, optional } from './adapter.ts';
import { bools, exchanged, type Numbers, numbers, reals } from './arrays.ts';
import { attribute, type CaseTensor, type ConformanceCase, flag } from './cases.ts';
import { additive, type MaskFields } from './masks.ts';
import { torchTolerance } from './torch-sdpa.ts';

/** PyTorch `nn.MultiheadAttention` in float64. */
export const torchMha: Family = {
  name: 'torch-mha',
  exchanges(given, precision) {
    const { attn_output, attn_output_weights } = given.outputs;
    const tolerance = torchTolerance(given, precision);
    const output = numbers(attn_output);
    const expectations: Expectation[] = [
      { result: 'output', expected: isBatchFirst(given) ? output : exchanged(output), tolerance },
    ];
    if (attn_output_weights !== undefined)
      expectations.push({ result: 'weights', expected: numbers(attn_output_weights), tolerance });
    return [{ path: MHA, body: bodyOf(given), expectations }];
  },
};

function isBatchFirst(given: ConformanceCase): boolean {
  return flag(given, 'batch_first', false) || given.inputs.query.shape.length === 2;
}

function bodyOf(given: ConformanceCase): object {
  const { query, key, value, bias_k, bias_v, key_padding_mask, attn_mask } = given.inputs;
  const heads = attribute(given, 'num_heads', 1);
  const tokens = (tensor: CaseTensor) => (isBatchFirst(given) ? tensor : reals(exchanged(numbers(tensor))));
  const flat = (tensor: CaseTensor) => ({ ...tensor, shape: [tensor.shape.at(-1)!] });
  return {
    embeddings: tokens(query),
    ...(key === undefined ? {} : { context: tokens(key) }),
    ...(value === undefined ? {} : { value_context: tokens(value) }),
    heads,
    layout: 'out_in',
    projections: projectionsOf(given),
    ...(bias_k === undefined ? {} : { k_extra: flat(bias_k), v_extra: flat(bias_v) }),
    ...(flag(given, 'add_zero_attn', false) ? { zero_attention: true } : {}),
    ...(key_padding_mask === undefined ? {} : { key_valid: bools(negated(numbers(key_padding_mask))) }),
    ...(attn_mask === undefined ? {} : maskOf(attn_mask, heads)),
    return: {
      weights:
        given.outputs.attn_output_weights !== undefined &&
        (flag(given, 'average_attn_weights', true) ? { reduce: 'mean' } : true),
    },
  };
}

/** `in_proj_weight` is W_Q, W_K, W_V one over the other; with other key or value widths they come apart. */
function projectionsOf({ inputs }: ConformanceCase): object {
  const { in_proj_weight, in_proj_bias, q_proj_weight, k_proj_weight, v_proj_weight } = inputs;
  const output = { ...optional('w_o', inputs.out_proj_weight), ...optional('b_o', inputs.out_proj_bias) };
  if (in_proj_weight !== undefined)
    return { w_qkv: in_proj_weight, packed_order: 'qkv', ...optional('b_qkv', in_proj_bias), ...output };
  const weights = { w_q: q_proj_weight, w_k: k_proj_weight, w_v: v_proj_weight };
  if (in_proj_bias === undefined) return { ...weights, ...output };
  const { values } = numbers(in_proj_bias);
  const width = values.length / 3;
  const third = (part: number) =>
    reals({ shape: [width], values: values.slice(part * width, (part + 1) * width) });
  return { ...weights, b_q: third(0), b_k: third(1), b_v: third(2), ...output };
}

/** true: may not attend. Rank 3 is [B·H, L, S], batch by batch. */
function maskOf(mask: CaseTensor, heads: number): MaskFields {
  const { shape, values } = numbers(mask);
  const whole: Numbers =
    shape.length === 3 ? { shape: [shape[0] / heads, heads, shape[1], shape[2]], values } : { shape, values };
  return mask.dtype === 'bool' ? { forbid_mask: bools(whole) } : additive(whole);
}

function negated({ shape, values }: Numbers): Numbers {
  return { shape, values: values.map((value) => (value === 0 ? 1 : 0)) };
}
