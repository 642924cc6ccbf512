import type { Tensor } from '../../src/domain/tensor.ts';
import { swapHeads } from '../heads.ts';
import { isVisible, realKeys, type Shape } from '../shapes.ts';
import type { Inputs } from '../workload.ts';
import type { OnnxTensor } from './model.ts';

/* What the graphs are given, laid out as each operator wants it. */

/** What stands for minus infinity in masks that are added. */
export const FORBIDDEN = -1e9;

/** [1, 1, L, S]: 0 or minus infinity. */
export function visibility(shape: Shape): OnnxTensor {
  const { queries, keys } = shape;
  const data = new Float32Array(queries * keys);
  for (let i = 0; i < queries; i++)
    for (let j = 0; j < keys; j++) if (!isVisible(shape, i, j)) data[i * keys + j] = FORBIDDEN;
  return { shape: [1, 1, queries, keys], data };
}

/** [B, S]: 1 for a key that is not padding. */
export function paddingMask(shape: Shape): OnnxTensor {
  const data = Int32Array.from({ length: shape.batch * shape.keys }, (_, at) => {
    return at % shape.keys < realKeys(shape) ? 1 : 0;
  });
  return { shape: [shape.batch, shape.keys], data };
}

/** [B, H, L, d] as [B, L, H·d]. */
export function tokensFirst({ shape, data }: Inputs[string]): OnnxTensor {
  const [batch, heads, rows, size] = shape;
  return { shape: [batch, rows, heads * size], data: swapHeads(data, [batch, heads, rows, size]) };
}

export function sideBySide(weights: readonly Inputs[string][]): OnnxTensor {
  const [rows, columns] = weights[0].shape;
  const data = new Float32Array(weights.length * rows * columns);
  for (let row = 0; row < rows; row++)
    weights.forEach((weight, at) => {
      data.set(
        weight.data.subarray(row * columns, (row + 1) * columns),
        (row * weights.length + at) * columns,
      );
    });
  return { shape: [rows, weights.length * columns], data };
}

export function plain({ shape, data }: Tensor<Float32Array>): OnnxTensor {
  return { shape, data: unshared(data) };
}

export function unshared(data: Float32Array): Float32Array {
  return new Float32Array(data);
}

export function int64(values: readonly number[]): OnnxTensor {
  return { shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}

export function int32(shape: readonly number[], value: number): OnnxTensor {
  return { shape, data: new Int32Array(shape.reduce((product, size) => product * size, 1)).fill(value) };
}
