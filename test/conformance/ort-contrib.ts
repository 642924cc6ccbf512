import { type Expectation, type Family, MHA, optional, SDPA } from './adapter.ts';
import {
  type BodyTensor,
  bools,
  build,
  element,
  indices,
  type Numbers,
  numbers,
  reals,
  sideBySide,
} from './arrays.ts';
import { attribute, type CaseTensor, type ConformanceCase } from './cases.ts';

/** The manifest's own bounds: float32 arithmetic on both sides. */
const TOLERANCE = { absolute: 2e-6, relative: 1e-5 };

/** ONNX Runtime's contrib operators `MultiHeadAttention` and `GroupQueryAttention` (float32). */
export const ortContrib: Family = {
  name: 'ort-contrib',
  exchanges(given) {
    if (given.op === 'MultiHeadAttention') return [multiHead(given)];
    if (given.op === 'GroupQueryAttention') return [groupQuery(given)];
    throw new TypeError(`There is no adapter for ${given.op}.`);
  },
};

/** 0 means the default. */
function scaleOf(given: ConformanceCase): object {
  const scale = attribute(given, 'scale', 0);
  return scale === 0 ? {} : { scale };
}

function multiHead(given: ConformanceCase) {
  const { query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value } = given.inputs;
  const heads = attribute(given, 'num_heads', 1);
  const options = {
    heads,
    ...scaleOf(given),
    ...(attribute(given, 'unidirectional', 0) === 1 ? { causal: 'lower_right' } : {}),
    ...(key_padding_mask === undefined ? {} : paddingOf(key_padding_mask)),
    ...optional('bias', attention_bias),
    return: { kv: given.outputs.present_key !== undefined },
  };
  const expectations: Expectation[] = expectedResults(given);
  if (bias === undefined) {
    const past = { ...optional('past_key', past_key), ...optional('past_value', past_value) };
    return { path: SDPA, body: { query, key, value, ...past, ...options }, expectations };
  }
  // The operator adds a bias to projections made before it: here, projections by the identity.
  const [width, valueWidth] = [query.shape[2], value.shape[2]];
  const { values } = numbers(bias);
  const part = (from: number, size: number) =>
    reals({ shape: [size], values: values.slice(from, from + size) });
  const projections = {
    w_q: identity(width),
    w_k: identity(width),
    w_v: identity(valueWidth),
    b_q: part(0, width),
    b_k: part(width, width),
    b_v: part(2 * width, valueWidth),
  };
  const tokens = { embeddings: query, context: key, value_context: value };
  return { path: MHA, body: { ...tokens, projections, ...options }, expectations };
}

function identity(width: number): BodyTensor {
  return reals(build([width, width], (row, column) => (row === column ? 1 : 0)));
}

/** [B, S], 1: keep; or [B] counts of keys. */
function paddingOf(mask: CaseTensor): object {
  return mask.shape.length === 1 ? { key_lengths: mask } : { key_valid: bools(numbers(mask)) };
}

function expectedResults(given: ConformanceCase): Expectation[] {
  return Object.entries(given.outputs).map(([result, tensor]) => ({
    result,
    expected: numbers(tensor),
    tolerance: TOLERANCE,
  }));
}

/**
 * Past buffers are as long as the longest past; sample b holds n_b = seqlens_k[b] + 1 - L valid rows at their start, and
 * its new keys follow right after them. Here all new keys stand after the whole buffer. So the valid rows are moved
 * to the end of the buffer, `shift` = P - n_b rows further, and `key_valid` closes the rows before them: distances
 * between queries and keys, which windows and causality count, stay what they were. Of `present`, ORT fills the rows
 * below seqlens_k[b] + 1; these are compared, moved back by the same shift.
 */
function groupQuery(given: ConformanceCase) {
  const { inputs } = given;
  const heads = attribute(given, 'num_heads', 1);
  const kvHeads = attribute(given, 'kv_num_heads', heads);
  const [batch, queries] = inputs.query.shape;
  const lengths = numbers(inputs.seqlens_k).values.map((last) => last + 1);
  const pastRows = inputs.past_key?.shape[2] ?? 0;
  const shifts = lengths.map((length) => (pastRows === 0 ? 0 : pastRows - (length - queries)));
  const keys = pastRows + queries;
  const { query, key, value } = splitHeads(inputs, heads, kvHeads);
  const window = attribute(given, 'local_window_size', -1);
  const { attention_bias, head_sink } = inputs;
  const body = {
    query,
    key,
    value,
    ...(pastRows === 0
      ? { key_lengths: indices({ shape: [batch], values: lengths }), causal: 'upper_left' }
      : {
          past_key: reals(movedToEnd(numbers(inputs.past_key), shifts)),
          past_value: reals(movedToEnd(numbers(inputs.past_value), shifts)),
          key_valid: bools(build([batch, keys], (b, j) => (j >= shifts[b] ? 1 : 0))),
          causal: { offset: pastRows },
        }),
    heads,
    kv_heads: kvHeads,
    ...scaleOf(given),
    ...(attribute(given, 'softcap', 0) === 0 ? {} : { softcap: given.attributes.softcap }),
    // The operator's window counts the current key.
    ...(window < 0 ? {} : { window: { left: window - 1 } }),
    ...(attention_bias === undefined
      ? {}
      : { bias: reals(movedBias(numbers(attention_bias), shifts, keys)) }),
    ...optional('sinks', head_sink),
    // "Smooth softmax" adds 1 to the denominator: a sink of 0.
    ...(attribute(given, 'smooth_softmax', 0) === 1
      ? { sinks: reals({ shape: [heads], values: new Float64Array(heads) }) }
      : {}),
    ...(attribute(given, 'do_rotary', 0) === 1 ? { rope: ropeOf(given, lengths) } : {}),
    return: { kv: true },
  };
  const expectations = expectedResults(given).map((expectation) =>
    expectation.result === 'output'
      ? { ...expectation, where: (b: number, i: number) => pastRows > 0 || i < lengths[b] }
      : presentExpectation(expectation, lengths, shifts, pastRows > 0),
  );
  return { path: SDPA, body, expectations };
}

/** Separate tensors, or q, k and v side by side in `query`. */
function splitHeads({ query, key, value }: ConformanceCase['inputs'], heads: number, kvHeads: number) {
  if (key !== undefined) return { query, key, value };
  const packed = numbers(query);
  const [batch, queries, width] = query.shape;
  const size = width / (heads + 2 * kvHeads);
  const columns = (from: number, count: number) =>
    reals(build([batch, queries, count * size], (b, i, c) => element(packed, b, i, from * size + c)));
  return { query: columns(0, heads), key: columns(heads, kvHeads), value: columns(heads + kvHeads, kvHeads) };
}

function movedToEnd(buffer: Numbers, shifts: Float64Array): Numbers {
  return build(buffer.shape, (b, g, j, c) => (j < shifts[b] ? 0 : element(buffer, b, g, j - shifts[b], c)));
}

function movedBias(bias: Numbers, shifts: Float64Array, keys: number): Numbers {
  if (shifts.every((shift) => shift === 0)) return bias;
  const [, heads, rows] = bias.shape;
  return build([shifts.length, heads, rows, keys], (b, h, i, j) =>
    j < shifts[b] ? 0 : element(bias, b, h, i, j - shifts[b]),
  );
}

function ropeOf(given: ConformanceCase, lengths: Float64Array): object {
  const { query, cos_cache, sin_cache, past_key, position_ids } = given.inputs;
  const [batch, queries] = query.shape;
  const first = (b: number) => (past_key === undefined ? 0 : lengths[b] - queries);
  const counted = build([batch, queries], (b, i) => first(b) + i);
  const positions = indices(position_ids === undefined ? counted : numbers(position_ids));
  return {
    pairing: attribute(given, 'rotary_interleaved', 0) === 1 ? 'interleaved' : 'half',
    dims: 2 * cos_cache.shape[1],
    cos: cos_cache,
    sin: sin_cache,
    positions,
    key_positions: positions,
  };
}

/** ORT's rows where ours stand: shifted, and laid out as the past is, or as the keys where there is no past. */
function presentExpectation(
  { result, expected, tolerance }: Expectation,
  lengths: Float64Array,
  shifts: Float64Array,
  isSplit: boolean,
): Expectation {
  const filled = (b: number, j: number) => j >= shifts[b] && j < shifts[b] + lengths[b];
  if (!isSplit) return { result, tolerance, expected: sideBySide(expected), where: (b, j) => filled(b, j) };
  const moved = build(expected.shape, (b, g, j, c) =>
    filled(b, j) ? element(expected, b, g, j - shifts[b], c) : 0,
  );
  return { result, tolerance, expected: moved, where: (b, _g, j) => filled(b, j) };
}
