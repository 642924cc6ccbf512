import {
  readGradients,
  readMultiHeadAttention,
  readScaledDotProductAttention,
} from '../src/contract/read-attention.ts';
import type { AttentionCall } from '../src/domain/call.ts';
import { DEFAULT_LIMITS, type Limits } from '../src/domain/limits.ts';
import {
  allocateReal,
  elementCount,
  type Precision,
  type RealArray,
  type Tensor,
} from '../src/domain/tensor.ts';
import { realKeys, type Shape, width } from './shapes.ts';

/** No row of the table is to be refused for its size. */
export const BENCH_LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  mapBytes: 2 ** 32,
  requestBytes: 2 ** 34,
  requestFlops: 1e15,
  queueBytes: 2 ** 35,
  deadlineMs: 3_600_000,
};

export interface Float32Tensor extends Tensor<Float32Array> {
  readonly dtype: 'float32';
}

/**
 * The numbers of a shape. Layers: x [B, N, D] and w_q, w_k, w_v, w_o [D, D]. Attention: query [B, H, L, d], key and
 * value [B, G, S, d], bias [1, H, L, S], grad_output [B, H, L, d].
 */
export type Inputs = Readonly<Record<string, Float32Tensor>>;

export function makeInputs(shape: Shape): Inputs {
  const { kind, batch, queries, keys, heads, kvHeads, headSize } = shape;
  const normal = normals(12345);
  const tensor = (dims: readonly number[], deviation = 1): Float32Tensor => {
    const data = allocateReal('float32', elementCount(dims)!) as Float32Array;
    for (let at = 0; at < data.length; at++) data[at] = deviation * normal();
    return { dtype: 'float32', shape: dims, data };
  };
  if (kind === 'layer') {
    const d = width(shape);
    const weight = () => tensor([d, d], 1 / Math.sqrt(d));
    return { x: tensor([batch, queries, d]), w_q: weight(), w_k: weight(), w_v: weight(), w_o: weight() };
  }
  return {
    query: tensor([batch, heads, queries, headSize]),
    key: tensor([batch, kvHeads, keys, headSize]),
    value: tensor([batch, kvHeads, keys, headSize]),
    ...(shape.biasAndPadding && { bias: tensor([1, heads, queries, keys]) }),
    ...(shape.gradients && { grad_output: tensor([batch, heads, queries, headSize]) }),
  };
}

/** The call as the service would read it from a request. */
export function makeCall(shape: Shape, inputs: Inputs, precision: Precision): AttentionCall {
  const real = (name: string) => inPrecision(inputs[name], precision);
  const options = {
    precision,
    causal: shape.causal ? { offset: shape.past } : false,
    ...(shape.windowLeft !== null && { window: { left: shape.windowLeft } }),
    ...(shape.biasAndPadding && { bias: real('bias'), key_valid: keyValid(shape) }),
    return: { weights: shape.weights },
  };
  if (shape.kind === 'layer') {
    const projections = { w_q: real('w_q'), w_k: real('w_k'), w_v: real('w_v'), w_o: real('w_o') };
    const body = { embeddings: real('x'), heads: shape.heads, projections, ...options };
    return readMultiHeadAttention(body, BENCH_LIMITS);
  }
  const { past, keys } = shape;
  const body = {
    query: real('query'),
    key: rowsOf(real('key'), past, keys),
    value: rowsOf(real('value'), past, keys),
    ...(past > 0 && { past_key: rowsOf(real('key'), 0, past), past_value: rowsOf(real('value'), 0, past) }),
    ...options,
  };
  if (shape.gradients) return readGradients({ ...body, grad_output: real('grad_output') }, BENCH_LIMITS);
  return readScaledDotProductAttention(body, BENCH_LIMITS);
}

/** Names of the results that are compared. */
export function resultNames({ weights, gradients }: Shape): readonly string[] {
  return [
    'output',
    ...(weights ? ['weights'] : []),
    ...(gradients ? ['grad_query', 'grad_key', 'grad_value'] : []),
  ];
}

/** [B, S], 1 for keys that are not padding. */
function keyValid(shape: Shape): Tensor<Uint8Array> {
  const data = new Uint8Array(new SharedArrayBuffer(shape.batch * shape.keys));
  for (let sample = 0; sample < shape.batch; sample++) {
    data.fill(1, sample * shape.keys, sample * shape.keys + realKeys(shape));
  }
  return { dtype: 'bool', shape: [shape.batch, shape.keys], data };
}

/** Rows [from, to) of every head of a [B, G, S, d] tensor. */
export function rowsOf<Data extends RealArray>(tensor: Tensor<Data>, from: number, to: number): Tensor<Data> {
  const [batch, heads, rows, size] = tensor.shape;
  if (from === 0 && to === rows) return tensor;
  const precision = tensor.data instanceof Float32Array ? 'float32' : 'float64';
  const data = allocateReal(precision, batch * heads * (to - from) * size) as Data;
  for (let head = 0; head < batch * heads; head++) {
    const source = tensor.data.subarray((head * rows + from) * size, (head * rows + to) * size);
    data.set(source, head * (to - from) * size);
  }
  return { dtype: tensor.dtype, shape: [batch, heads, to - from, size], data };
}

function inPrecision(tensor: Float32Tensor, precision: Precision): Tensor<RealArray> {
  if (precision !== 'float64') return tensor;
  const data = allocateReal('float64', tensor.data.length);
  data.set(tensor.data);
  return { ...tensor, data };
}

/** Standard normal numbers, the same in every run: xorshift32 and the Box-Muller transform. */
function normals(seed: number): () => number {
  let state = seed;
  const uniform = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
