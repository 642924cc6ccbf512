import type { HeadStrides, HeadView } from '../domain/call.ts';
import { Problem, problemAt } from '../domain/problem.ts';
import type { RealArray, Tensor } from '../domain/tensor.ts';
import { shapeProblem } from './shapes.ts';

/** A tensor read as the rows of heads: [B, heads, rows, size]. */
export interface Heads {
  readonly rank: 2 | 3 | 4;
  readonly batch: number;
  readonly heads: number;
  readonly rows: number;
  readonly size: number;
  readonly view: HeadView;
}

/** Strides of a contiguous tensor of a rank: 4 [B, heads, rows, d], 3 [B, rows, heads·d], 2 [rows, heads·d]. */
export function headStrides(rank: 2 | 3 | 4, heads: number, rows: number, size: number): HeadStrides {
  const batchStride = heads * rows * size;
  return rank === 4
    ? { batchStride, headStride: rows * size, rowStride: size }
    : { batchStride, headStride: size, rowStride: heads * size };
}

/** Shape of the same. */
export function headShapeOfRank(
  rank: 2 | 3 | 4,
  batch: number,
  heads: number,
  rows: number,
  size: number,
): readonly number[] {
  if (rank === 4) return [batch, heads, rows, size];
  return rank === 3 ? [batch, rows, heads * size] : [rows, heads * size];
}

/**
 * Reads a tensor of rank 4, 3 or 2 as heads. Rank 4 says itself how many heads it has; the others are split into
 * `heads` (given by the option that `option` points at).
 */
export function readHeads(pointer: string, tensor: Tensor<RealArray>, heads: number, option: string): Heads {
  const { shape, data } = tensor;
  const rank = shape.length;
  if (rank !== 2 && rank !== 3 && rank !== 4) {
    throw shapeProblem(pointer, 'rank 4 [B, H, L, d], rank 3 [B, L, H·d] or rank 2 [L, H·d]', tensor);
  }
  const batch = rank === 2 ? 1 : shape[0];
  const rows = rank === 4 ? shape[2] : shape[rank - 2];
  let size = shape[rank - 1];
  if (rank === 4) {
    if (shape[1] !== heads) throw shapeProblem(pointer, `${heads} heads (axis 1 of [B, H, L, d])`, tensor);
  } else {
    if (size % heads !== 0) throw notDivisible(pointer, option, size, heads);
    size /= heads;
  }
  if (batch === 0 || size === 0) {
    throw shapeProblem(pointer, 'at least one sample, one head and one number a head', tensor);
  }
  return { rank, batch, heads, rows, size, view: { data, ...headStrides(rank, heads, rows, size) } };
}

/** A width that cannot be split evenly over the heads: both places are named. */
export function notDivisible(pointer: string, option: string, width: number, heads: number): Problem {
  const detail = `Its width ${width} cannot be split evenly over ${heads} heads.`;
  return new Problem('shape_mismatch', `${pointer}: ${detail}`, [
    { pointer, detail },
    { pointer: option, detail: `Expected a divisor of ${width}; got ${heads}.` },
  ]);
}

/** Checks G: it must divide H. */
export function checkKvHeads(heads: number, kvHeads: number): void {
  if (heads % kvHeads !== 0) {
    throw problemAt(
      'shape_mismatch',
      '/kv_heads',
      `Expected a divisor of the ${heads} query heads, since query head h reads key/value head h // (H/G); got ${kvHeads}.`,
    );
  }
}

/** Checks that two tensors have as many samples. */
export function checkBatch(
  pointer: string,
  tensor: Tensor,
  batch: number,
  expected: number,
  of: string,
): void {
  if (batch !== expected) {
    throw shapeProblem(pointer, `${expected} sample${expected === 1 ? '' : 's'} as in ${of}`, tensor);
  }
}
