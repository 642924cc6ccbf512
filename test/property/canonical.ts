import type { AttentionOptions } from '../../src/contract/schemas/options.ts';
import type { RealArray, Tensor } from '../../src/domain/tensor.ts';
import type { CallSizes } from './bodies.ts';
import { countOf } from './tensors.ts';

/**
 * The same call said in the plainest words: one forbid_mask [B, H, L, S] for causality, window, lengths and masks, one
 * bias [B, H, L, S] for bias and ALiBi, every position of the rotary embedding spelt out. Made from the contract's
 * text alone; a reader that misreads an option gives another result for the two bodies.
 */
export function canonical(
  options: AttentionOptions,
  sizes: CallSizes,
  keysFromQueries: boolean,
): AttentionOptions {
  const { batch, heads, queries, keys } = sizes;
  const shape = [batch, heads, queries, keys];
  const lengths = (b: number) => options.key_lengths?.data[b] ?? keys;
  const offset = (b: number) => offsetOf(options.causal, lengths(b), sizes);
  const forbid = new Uint8Array(new SharedArrayBuffer(countOf(shape)));
  const bias = new Float64Array(new SharedArrayBuffer(countOf(shape) * 8));
  let flat = 0;
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < queries; i++)
        for (let j = 0; j < keys; j++, flat++) {
          const at = (tensor: Tensor) => broadcastElement(tensor, b, h, i, j);
          const distance = i + offset(b) - j;
          const isForbidden =
            (isCausal(options.causal) && distance < 0) ||
            distance > (options.window?.left ?? Number.POSITIVE_INFINITY) ||
            -distance > (options.window?.right ?? Number.POSITIVE_INFINITY) ||
            j >= lengths(b) ||
            (options.key_valid !== undefined && options.key_valid.data[b * keys + j] === 0) ||
            (options.allow_mask !== undefined && at(options.allow_mask) === 0) ||
            (options.forbid_mask !== undefined && at(options.forbid_mask) !== 0);
          forbid[flat] = isForbidden ? 1 : 0;
          if (options.bias !== undefined) bias[flat] += at(options.bias);
          if (options.alibi_slopes !== undefined)
            bias[flat] -= options.alibi_slopes.data[h] * Math.abs(distance);
        }
  return {
    scale: options.scale ?? 1 / Math.sqrt(sizes.headSize),
    ...(options.softcap === undefined ? {} : { softcap: options.softcap }),
    ...(options.sinks === undefined ? {} : { sinks: options.sinks }),
    ...(options.rope === undefined ? {} : { rope: canonicalRope(options.rope, sizes, keysFromQueries) }),
    forbid_mask: { dtype: 'bool', shape, data: forbid },
    bias: { dtype: 'float64', shape, data: bias },
    causal: 'none',
    precision: 'float64',
  };
}

function isCausal(causal: AttentionOptions['causal']): boolean {
  return causal !== undefined && causal !== 'none' && causal !== false;
}

/** Where query 0 stands among the keys; 0 where nothing is causal. */
function offsetOf(causal: AttentionOptions['causal'], length: number, { queries }: CallSizes): number {
  if (causal === 'lower_right') return length - queries;
  return typeof causal === 'object' ? causal.offset : 0;
}

function broadcastElement({ shape, data }: Tensor, b: number, h: number, i: number, j: number): number {
  const index = shape.length === 2 ? [i, j] : [b, h, i, j];
  return data[index.reduce((flat, at, axis) => flat * shape[axis] + (shape[axis] === 1 ? 0 : at), 0)];
}

type Rope = NonNullable<AttentionOptions['rope']>;

/** Positions of queries and keys, and cosines and sines where they are not given already. */
function canonicalRope(
  rope: Rope,
  { batch, queries, keys, past, headSize }: CallSizes,
  keysFromQueries: boolean,
): Rope {
  const newKeys = keys - past;
  const from = (first: number, length: number) => counted(batch, length, first);
  const positions = rope.positions ?? from(rope.offset ?? 0, queries);
  const keyPositions =
    rope.key_positions ??
    (rope.key_offset === undefined && keysFromQueries ? positions : from(rope.key_offset ?? 0, newKeys));
  const { pairing, dims = headSize } = rope;
  const { cos, sin } = rope.cos === undefined ? tables(rope.theta ?? 10_000, dims) : rope;
  return { pairing, dims, cos: cos!, sin: sin!, positions, key_positions: keyPositions };
}

function counted(batch: number, length: number, first: number): Tensor<Float64Array> {
  const data = new Float64Array(new SharedArrayBuffer(batch * length * 8));
  for (let flat = 0; flat < data.length; flat++) data[flat] = first + (flat % length);
  return { dtype: 'int32', shape: [batch, length], data };
}

const ROWS = 320;

function tables(theta: number, dims: number): { cos: Tensor<RealArray>; sin: Tensor<RealArray> } {
  const table = (of: (angle: number) => number): Tensor<RealArray> => {
    const data = new Float64Array(new SharedArrayBuffer(ROWS * (dims / 2) * 8));
    for (let flat = 0; flat < data.length; flat++) {
      const pair = flat % (dims / 2);
      data[flat] = of(Math.floor(flat / (dims / 2)) / theta ** ((2 * pair) / dims));
    }
    return { dtype: 'float64', shape: [ROWS, dims / 2], data };
  };
  return { cos: table(Math.cos), sin: table(Math.sin) };
}
