import type { Broadcast, Score, Sizes, Visibility } from '../domain/call.ts';
import { type Problem, problemAt } from '../domain/problem.ts';
import type { RealArray, Tensor } from '../domain/tensor.ts';
import type { AttentionOptions } from './schemas/options.ts';
import { expectShape, shapeProblem, sharedIndices } from './shapes.ts';

/** Scale, softcap, bias, ALiBi and sinks of a call. */
export function readScore(options: AttentionOptions, sizes: Sizes): Score {
  const { alibi_slopes, sinks } = options;
  if (alibi_slopes !== undefined) expectShape('/alibi_slopes', alibi_slopes, [sizes.heads], '[H]');
  if (sinks !== undefined) expectShape('/sinks', sinks, [sizes.heads], '[H]');
  return {
    scale: options.scale ?? 1 / Math.sqrt(sizes.headSize),
    softcap: options.softcap ?? null,
    bias: options.bias === undefined ? null : readBroadcast('/bias', options.bias, sizes),
    alibiSlopes: alibi_slopes?.data ?? null,
    sinks: sinks?.data ?? null,
  };
}

/** Causality, window, key lengths and masks as one rule. */
export function readVisibility(options: AttentionOptions, sizes: Sizes, rank: number): Visibility {
  const keyLengths = readKeyLengths(options.key_lengths, sizes);
  const { allow_mask, forbid_mask, key_valid } = options;
  if (key_valid !== undefined) {
    const bare = rank === 2 && key_valid.shape.length === 1;
    expectShape(
      '/key_valid',
      key_valid,
      bare ? [sizes.keys] : [sizes.batch, sizes.keys],
      bare ? '[S]' : '[B, S]',
    );
  }
  return {
    ...readCausal(options.causal ?? 'none', sizes, keyLengths),
    windowLeft: readWidth(options.window?.left),
    windowRight: readWidth(options.window?.right),
    keyLengths,
    allow: allow_mask === undefined ? null : readBroadcast('/allow_mask', allow_mask, sizes),
    forbid: forbid_mask === undefined ? null : readBroadcast('/forbid_mask', forbid_mask, sizes),
    keyValid: key_valid?.data ?? null,
  };
}

/** One side of a window. A number beyond those that are exact stands for more keys than there are, and so does the last. */
function readWidth(keys: number | null | undefined): number | null {
  return keys === undefined || keys === null ? null : Math.min(keys, Number.MAX_SAFE_INTEGER);
}

function readKeyLengths(lengths: Tensor<Float64Array> | undefined, sizes: Sizes): Int32Array {
  if (lengths === undefined) return sharedIndices(sizes.batch, () => sizes.keys);
  expectShape('/key_lengths', lengths, [sizes.batch], '[B]');
  return sharedIndices(sizes.batch, (sample) => {
    const length = lengths.data[sample];
    if (!Number.isInteger(length) || length < 0 || length > sizes.keys) {
      throw problemAt(
        'invalid_option',
        `/key_lengths/${sample}`,
        `Expected a count of keys from 0 to S = ${sizes.keys}; got ${length}.`,
      );
    }
    return length;
  });
}

function readCausal(
  causal: NonNullable<AttentionOptions['causal']>,
  sizes: Sizes,
  keyLengths: Int32Array,
): Pick<Visibility, 'causal' | 'offsets'> {
  const constant = (offset: number) => ({ causal: true, offsets: sharedIndices(sizes.batch, () => offset) });
  if (causal === 'none' || causal === false) return { ...constant(0), causal: false };
  if (causal === 'upper_left') return constant(0);
  if (causal === 'lower_right') {
    return {
      causal: true,
      offsets: sharedIndices(sizes.batch, (sample) => keyLengths[sample] - sizes.queries),
    };
  }
  if (causal === true) {
    if (sizes.past > 0) return constant(sizes.past);
    if (sizes.queries === sizes.keys) return constant(0);
    throw ambiguousCausal(sizes);
  }
  if (Math.abs(causal.offset) > 2 ** 30) {
    throw problemAt(
      'invalid_option',
      '/causal/offset',
      `Expected at most 2^30 in size; got ${causal.offset}.`,
    );
  }
  return constant(causal.offset);
}

function ambiguousCausal({ queries, keys }: Sizes): Problem {
  return problemAt(
    'invalid_option',
    '/causal',
    `true could mean two things where L = ${queries} differs from S = ${keys}. Say "upper_left" for key j <= query i ` +
      `(PyTorch is_causal, JAX), "lower_right" for j <= i + S - L = i ${keys < queries ? '-' : '+'} ` +
      `${Math.abs(keys - queries)} (FlashAttention, a cache), or {"offset": n} for j <= i + n.`,
  );
}

/** A mask or bias, [L, S] or [B|1, H|1, L|1, S], as strides over [B, H, L, S]. */
function readBroadcast<Data extends RealArray | Uint8Array>(
  pointer: string,
  tensor: Tensor<Data>,
  sizes: Sizes,
): Broadcast<Data> {
  const { shape, data } = tensor;
  const { batch, heads, queries, keys } = sizes;
  if (shape.length === 2) {
    expectShape(pointer, tensor, [queries, keys], '[L, S]');
    return { data, batchStride: 0, headStride: 0, queryStride: keys };
  }
  if (shape.length !== 4) throw ambiguousRank(pointer, tensor, sizes);
  const fits =
    (shape[0] === batch || shape[0] === 1) &&
    (shape[1] === heads || shape[1] === 1) &&
    (shape[2] === queries || shape[2] === 1) &&
    shape[3] === keys;
  if (!fits) {
    throw shapeProblem(
      pointer,
      `[B|1, H|1, L|1, S] = [${batch}|1, ${heads}|1, ${queries}|1, ${keys}]`,
      tensor,
    );
  }
  return {
    data,
    batchStride: shape[0] === 1 ? 0 : shape[1] * shape[2] * keys,
    headStride: shape[1] === 1 ? 0 : shape[2] * keys,
    queryStride: shape[2] === 1 ? 0 : keys,
  };
}

function ambiguousRank(pointer: string, tensor: Tensor, { batch, heads, queries, keys }: Sizes): Problem {
  const expected = `rank 2 [L, S] = [${queries}, ${keys}] or rank 4 [B|1, H|1, L|1, S] = [${batch}|1, ${heads}|1, ${queries}|1, ${keys}]`;
  const hint =
    tensor.shape.length === 3
      ? 'Rank 3 could mean [B, L, S], [H, L, S] or [B·H, L, S]: add the axis that is missing.'
      : '';
  return shapeProblem(pointer, expected, tensor, hint);
}
