import { EXACT, type Expectation, type Family, FLOAT32, optional, SDPA, type Tolerance } from './adapter.ts';
import { bools, build, type Numbers, numbers, sideBySide } from './arrays.ts';
import { attribute, type CaseTensor, type ConformanceCase } from './cases.ts';
import { additive, type MaskFields, toRank2, toRank4, widened } from './masks.ts';

/** ONNX `Attention`, opsets 23 to 25. */
export const onnxAttention: Family = {
  name: 'onnx-attention',
  exchanges: (given) => [{ path: SDPA, body: bodyOf(given), expectations: expectationsOf(given) }],
};

const LOGITS = ['scaled', 'capped', 'masked'] as const;

function sizesOf({ inputs, attributes }: ConformanceCase) {
  const { Q, K, past_key } = inputs;
  const rank4 = Q.shape.length === 4;
  const past = past_key?.shape[2] ?? 0;
  return {
    batch: Q.shape[0],
    heads: rank4 ? Q.shape[1] : (attributes.q_num_heads as number),
    kvHeads: rank4 ? K.shape[1] : (attributes.kv_num_heads as number),
    queries: Q.shape.at(-2)!,
    past,
    keys: past + K.shape.at(-2)!,
  };
}

function bodyOf(given: ConformanceCase): object {
  const { Q, K, V, past_key, past_value, nonpad_kv_seqlen, attn_mask } = given.inputs;
  const { heads, kvHeads } = sizesOf(given);
  const mode = attribute(given, 'qk_matmul_output_mode', 0);
  const wantsMap = given.outputs.qk_matmul_output !== undefined;
  return {
    query: Q,
    key: K,
    value: V,
    ...optional('past_key', past_key),
    ...optional('past_value', past_value),
    heads,
    kv_heads: kvHeads,
    ...(given.attributes.scale === undefined ? {} : { scale: given.attributes.scale }),
    ...(attribute(given, 'softcap', 0) === 0 ? {} : { softcap: given.attributes.softcap }),
    ...(nonpad_kv_seqlen === undefined ? {} : { key_lengths: nonpad_kv_seqlen }),
    ...rangeOf(given),
    ...(attn_mask === undefined ? {} : maskOf(attn_mask, given)),
    return: {
      kv: given.outputs.present_key !== undefined,
      ...(wantsMap && mode < 3 ? { logits: LOGITS[mode] } : {}),
      ...(wantsMap && mode === 3 ? { weights: true } : {}),
    },
  };
}

/**
 * Causality and the window. Both stand at one offset: the past length, or the sample's valid keys less the queries.
 * Here a window without causality stands at offset 0, so with another offset it is sent as a mask of valid keys.
 */
function rangeOf(given: ConformanceCase): object {
  const { nonpad_kv_seqlen } = given.inputs;
  const { past } = sizesOf(given);
  const [left, right] = ['left_window_size', 'right_window_size'].map((name) => {
    const size = attribute(given, name, -1);
    return size < 0 ? null : size;
  });
  const window = left === null && right === null ? {} : { window: { left, right } };
  if (attribute(given, 'is_causal', 0) === 1) {
    if (nonpad_kv_seqlen !== undefined) return { causal: 'lower_right', ...window };
    return { causal: past > 0 ? { offset: past } : 'upper_left', ...window };
  }
  if (left === null && right === null) return {};
  if (past === 0 && nonpad_kv_seqlen === undefined) return window;
  return { forbid_mask: bools(outsideWindow(given, left, right)) };
}

function outsideWindow(given: ConformanceCase, left: number | null, right: number | null): Numbers {
  const { batch, queries, keys, past } = sizesOf(given);
  const { nonpad_kv_seqlen } = given.inputs;
  const lengths = nonpad_kv_seqlen === undefined ? null : numbers(nonpad_kv_seqlen).values;
  return build([batch, 1, queries, keys], (b, _h, i, j) => {
    const position = i + (lengths === null ? past : lengths[b] - queries);
    const inside = (left === null || j >= position - left) && (right === null || j <= position + right);
    return inside ? 0 : 1;
  });
}

/** Rank 1 is [S], rank 3 is [H, L, S]; shorter than the keys forbids the rest. */
function maskOf(mask: CaseTensor, given: ConformanceCase): MaskFields {
  const { queries, keys } = sizesOf(given);
  const isBool = mask.dtype === 'bool';
  const wide = widened(toRank4(numbers(mask)), keys, isBool ? 0 : Number.NEGATIVE_INFINITY);
  return isBool ? { allow_mask: bools(toRank2(wide, queries)) } : additive(toRank2(wide, queries));
}

function expectationsOf(given: ConformanceCase): Expectation[] {
  const { Y, present_key, present_value, qk_matmul_output } = given.outputs;
  // Here the present is laid out as the past is, or as the keys where there is no past.
  const isSplit = given.inputs.past_key !== undefined || given.inputs.K.shape.length === 4;
  const present = (tensor: CaseTensor) => (isSplit ? numbers(tensor) : sideBySide(numbers(tensor)));
  const tolerance = toleranceOf(given);
  const expectations: Expectation[] = [{ result: 'output', expected: numbers(Y), tolerance }];
  if (present_key !== undefined && present_value !== undefined) {
    // Nothing is computed on the way from the inputs to these.
    expectations.push({ result: 'present_key', expected: present(present_key), tolerance: EXACT });
    expectations.push({ result: 'present_value', expected: present(present_value), tolerance: EXACT });
  }
  if (qk_matmul_output !== undefined) {
    const result = attribute(given, 'qk_matmul_output_mode', 0) === 3 ? 'weights' : 'logits';
    expectations.push({ result, expected: numbers(qk_matmul_output), tolerance });
  }
  return expectations;
}

const UNIT_ROUNDOFF: Partial<Record<CaseTensor['dtype'], number>> = { float16: 2 ** -11, bfloat16: 2 ** -8 };

/**
 * float32 cases: the service's bound, not the operator's lax 1e-3.
 *
 * float16 and bfloat16 cases: the expected values were rounded to that type after every step, each time by up to its unit
 * roundoff u. On the way of a weight that happens about a dozen times (q·√scale, k·√scale, their product, cap, mask,
 * difference to the maximum, exp, sum, quotient), relative to a logit of at most m or to the weight itself: a dozen
 * independent errors of standard deviation u/√3 add up to √12·u/√3 = 2u, and three times that is 6u·max(1, m). The
 * weights being 1 together, the output moves with them by at most half the range of the values; the weighted sum and
 * the result are rounded once more. In all (3·max(1, m) + 2)·u·max|v|, three to five ulps of the type.
 */
function toleranceOf(given: ConformanceCase): Tolerance {
  const u = UNIT_ROUNDOFF[given.inputs.Q.dtype];
  if (u === undefined) return FLOAT32;
  const largest = (tensor: CaseTensor) => Math.max(...numbers(tensor).values.map(Math.abs));
  return { absolute: (3 * Math.max(1, largestLogit(given)) + 2) * u * largest(given.inputs.V), relative: 0 };
}

/** A bound on |scale·q·k + mask|, by Cauchy and Schwarz over the rows of the heads. */
function largestLogit(given: ConformanceCase): number {
  const { Q, K, past_key, attn_mask } = given.inputs;
  const { heads, kvHeads } = sizesOf(given);
  const longest = (tensor: CaseTensor, count: number) => {
    const { shape, values } = numbers(tensor);
    const size = shape.length === 4 ? shape[3] : shape[2] / count;
    let longestSquare = 0;
    for (let at = 0; at < values.length; at += size) {
      const square = values.subarray(at, at + size).reduce((sum, x) => sum + x * x, 0);
      longestSquare = Math.max(longestSquare, square);
    }
    return Math.sqrt(longestSquare);
  };
  const size = Q.shape.length === 4 ? Q.shape[3] : Q.shape[2] / heads;
  const key = Math.max(longest(K, kvHeads), past_key === undefined ? 0 : longest(past_key, kvHeads));
  const mask = attn_mask === undefined || attn_mask.dtype === 'bool' ? [0] : numbers(attn_mask).values;
  const finite = Array.from(mask).filter((value) => Number.isFinite(value));
  return (
    attribute(given, 'scale', size ** -0.5) * longest(Q, heads) * key + Math.max(0, ...finite.map(Math.abs))
  );
}
