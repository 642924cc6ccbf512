import type {
  AttentionCall,
  Broadcast,
  HeadSource,
  HeadStrides,
  HeadView,
  ResultTensor,
  Returns,
  Rope,
  Score,
  Sizes,
  Visibility,
  WeightSelection,
} from '../../src/domain/call.ts';
import { allocateReal, type Precision, type RealArray } from '../../src/domain/tensor.ts';
import type { Kernel } from '../../src/kernels/kernel.ts';
import { type Projections, projected } from './projections.ts';
import { type Random, seeded } from './random.ts';

/**
 * Attention calls made directly, without a request: random numbers from a seed, every option overridable. The same
 * seed and sizes give the same numbers whatever the precision and the storage.
 */
export interface CallOptions {
  readonly seed?: number;
  readonly precision?: Precision;
  readonly batch?: number;
  readonly queries?: number;
  /** Keys besides the past ones. */
  readonly newKeys?: number;
  readonly past?: number;
  readonly extras?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly headSize?: number;
  readonly valueHeadSize?: number;
  /** Where a head's rows lie: together, as in [B, H, N, d], or between those of other heads, as in [B, N, H·d]. */
  readonly storage?: 'heads_first' | 'rows_first';
  /** Queries, keys and values come from tokens. */
  readonly projections?: Projections;
  readonly score?: Partial<Score>;
  readonly visibility?: Partial<Visibility>;
  readonly rope?: Rope;
  readonly returns?: Partial<Returns>;
}

export function makeCall(options: CallOptions = {}): AttentionCall {
  const random = seeded(options.seed ?? 1);
  const precision = options.precision ?? 'float64';
  const sizes = sizesOf(options);
  const storage = options.storage ?? 'heads_first';
  const rows = (count: number, length: number, size: number): HeadView => {
    const values = normals(precision, sizes.batch * count * length * size, random);
    return arrange(values, precision, sizes.batch, count, length, size, storage);
  };
  const newKeys = sizes.keys - sizes.past;
  const given = (view: HeadView): HeadSource => ({ kind: 'given', view, shape: [view.data.length] });
  const sources =
    options.projections === undefined
      ? {
          query: given(rows(sizes.heads, sizes.queries, sizes.headSize)),
          key: given(rows(sizes.kvHeads, newKeys, sizes.headSize)),
          value: given(rows(sizes.kvHeads, newKeys, sizes.valueHeadSize)),
          outputProjection: null,
        }
      : projected(options.projections, sizes, precision, random);
  const past =
    sizes.past === 0
      ? null
      : {
          key: rows(sizes.kvHeads, sizes.past, sizes.headSize),
          value: rows(sizes.kvHeads, sizes.past, sizes.valueHeadSize),
        };
  const extras = Array.from({ length: sizes.extras }, () => ({
    key: normals(precision, sizes.kvHeads * sizes.headSize, random),
    value: normals(precision, sizes.kvHeads * sizes.valueHeadSize, random),
  }));

  return {
    operation: options.projections === undefined ? 'scaled_dot_product_attention' : 'multi_head_attention',
    precision,
    sizes,
    ...sources,
    past,
    extras,
    layout: options.projections?.layout ?? null,
    score: {
      scale: sizes.headSize ** -0.5,
      softcap: null,
      bias: null,
      alibiSlopes: null,
      sinks: null,
      ...options.score,
    },
    visibility: { ...openVisibility(sizes), ...options.visibility },
    rope: options.rope ?? null,
    emptyRows: 'zero',
    returns: { weights: null, logits: null, logSumExp: false, presentKeyValue: false, ...options.returns },
    results: {
      rank: storage === 'heads_first' ? 4 : 3,
      output: outputLayout(sizes, options.projections !== undefined, storage),
      presentKey: headLayout(sizes.batch, sizes.kvHeads, sizes.keys, sizes.headSize, storage),
      presentValue: headLayout(sizes.batch, sizes.kvHeads, sizes.keys, sizes.valueHeadSize, storage),
    },
    gradOutput: null,
  };
}

function sizesOf(options: CallOptions): Sizes {
  const {
    batch = 1,
    queries = 5,
    newKeys = queries,
    past = 0,
    extras = 0,
    heads = 1,
    kvHeads = heads,
  } = options;
  const { headSize = 8, valueHeadSize = headSize, projections } = options;
  const outputWidth = projections?.outputWidth ?? heads * valueHeadSize;
  return {
    batch,
    queries,
    keys: past + newKeys,
    past,
    extras,
    heads,
    kvHeads,
    headSize,
    valueHeadSize,
    outputWidth,
  };
}

function openVisibility({ batch, keys }: Sizes): Visibility {
  return {
    causal: false,
    offsets: new Array(batch).fill(0),
    windowLeft: null,
    windowRight: null,
    keyLengths: new Array(batch).fill(keys),
    allow: null,
    forbid: null,
    keyValid: null,
  };
}

/** Asks for everything that a call can return. */
export function everything(call: AttentionCall): AttentionCall {
  const returns = {
    weights: allWeights(call.sizes),
    logits: 'masked',
    logSumExp: true,
    presentKeyValue: true,
  } as const;
  return { ...call, returns };
}

/** Asks for the gradients at a random gradient of the output, which lies in memory as the output does. */
export function withGradients(call: AttentionCall): AttentionCall {
  const { batch, heads, queries, valueHeadSize } = call.sizes;
  const { strides } = call.results.output;
  const storage = strides.headStride === valueHeadSize && heads > 1 ? 'rows_first' : 'heads_first';
  const values = normals(call.precision, batch * heads * queries * valueHeadSize, seeded(11));
  const gradOutput = arrange(values, call.precision, batch, heads, queries, valueHeadSize, storage);
  return { ...call, gradOutput };
}

/** Whether a kernel makes gradients itself; calls that ask for them go to another one where it does not. */
export function computesGradients(kernel: Kernel): boolean {
  return kernel.supports?.(withGradients(makeCall({ precision: kernel.precision }))) !== false;
}

export function allWeights(sizes: Sizes): WeightSelection {
  return { heads: range(sizes.heads), queries: range(sizes.queries), reduce: null, topK: null };
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** Causal visibility at one offset for all samples. */
export function causal(batch: number, offset = 0): Partial<Visibility> {
  return { causal: true, offsets: new Array(batch).fill(offset) };
}

/** A mask [B, H, L, S] in which each key is 1 with the given probability. */
export function randomMask(sizes: Sizes, random: Random, probability: number): Broadcast<Uint8Array> {
  const { batch, heads, queries, keys } = sizes;
  const data = new Uint8Array(new SharedArrayBuffer(batch * heads * queries * keys));
  for (let at = 0; at < data.length; at++) data[at] = random.uniform() < probability ? 1 : 0;
  return { data, batchStride: heads * queries * keys, headStride: queries * keys, queryStride: keys };
}

/** A bias [B, H, L, S]. */
export function randomBias(sizes: Sizes, random: Random, precision: Precision): Broadcast<RealArray> {
  const { batch, heads, queries, keys } = sizes;
  const data = normals(precision, batch * heads * queries * keys, random);
  return { data, batchStride: heads * queries * keys, headStride: queries * keys, queryStride: keys };
}

export function normals(precision: Precision, count: number, random: Random): RealArray {
  const out = allocateReal(precision, count);
  for (let at = 0; at < count; at++) out[at] = random.normal();
  return out;
}

export function real(precision: Precision, values: ArrayLike<number>): RealArray {
  const out = allocateReal(precision, values.length);
  out.set(values);
  return out;
}

export function headStrides(
  count: number,
  length: number,
  size: number,
  storage: CallOptions['storage'],
): HeadStrides {
  return storage === 'rows_first'
    ? { batchStride: length * count * size, headStride: size, rowStride: count * size }
    : { batchStride: count * length * size, headStride: length * size, rowStride: size };
}

/** [B, count, length, size] values put where the storage wants them. */
function arrange(
  values: RealArray,
  precision: Precision,
  batch: number,
  count: number,
  length: number,
  size: number,
  storage: CallOptions['storage'],
): HeadView {
  const strides = headStrides(count, length, size, storage);
  const data = allocateReal(precision, values.length);
  let at = 0;
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < count; h++)
      for (let i = 0; i < length; i++)
        for (let c = 0; c < size; c++)
          data[b * strides.batchStride + h * strides.headStride + i * strides.rowStride + c] = values[at++];
  return { data, ...strides };
}

function headLayout(
  batch: number,
  count: number,
  length: number,
  size: number,
  storage: CallOptions['storage'],
): ResultTensor {
  const shape = storage === 'rows_first' ? [batch, length, count * size] : [batch, count, length, size];
  return { shape, strides: headStrides(count, length, size, storage) };
}

function outputLayout(sizes: Sizes, tokens: boolean, storage: CallOptions['storage']): ResultTensor {
  const { batch, queries, heads, valueHeadSize, outputWidth } = sizes;
  if (!tokens) return headLayout(batch, heads, queries, valueHeadSize, storage);
  const strides = { batchStride: queries * outputWidth, headStride: valueHeadSize, rowStride: outputWidth };
  return { shape: [batch, queries, outputWidth], strides };
}
