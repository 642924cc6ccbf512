import type { Precision } from '../../../src/domain/tensor.ts';

/**
 * Values with, for each, a bound on how far a kernel that computes with unit roundoff u may be from it. The oracle
 * carries the bound along with the arithmetic (a running error analysis; Higham, Accuracy and Stability of Numerical
 * Algorithms, 2002, section 3.3), so a tolerance is never chosen: it follows from eps, the sizes and the magnitudes.
 */
export interface Bounded {
  readonly shape: readonly number[];
  readonly value: Float64Array;
  readonly bound: Float64Array;
}

/** Of the arithmetic: 2^-24 for float32, in which bfloat16 is summed, 2^-53 for float64. */
export const UNIT_ROUNDOFF = { float32: 2 ** -24, bfloat16: 2 ** -24, float64: 2 ** -53 } as const;

/** Of the operands of products, where they are rounded to fewer bits than they are held in. */
const OPERAND_ROUNDOFF = { float32: 0, bfloat16: 2 ** -8, float64: 0 } as const;

/** Below this, numbers of the precision are subnormal and lose bits: an absolute error that u does not cover. */
export const UNDERFLOW = { float32: 2 ** -126, bfloat16: 2 ** -126, float64: 2 ** -1022 } as const;

/**
 * The bounds of numbers as operands of products: rounded, and 0 where they are below the normal range. Where nothing
 * is rounded they are the bounds that are given.
 */
export function operandBounds(
  value: ArrayLike<number>,
  bound: Float64Array,
  precision: Precision,
): Float64Array {
  const u = OPERAND_ROUNDOFF[precision];
  const tiny = UNDERFLOW[precision];
  return u === 0 ? bound : bound.map((of, at) => of + u * (Math.abs(value[at]) + of) + tiny);
}

export function bounded(...shape: number[]): Bounded {
  const count = shape.reduce((product, size) => product * size, 1);
  return { shape, value: new Float64Array(count), bound: new Float64Array(count) };
}

/**
 * Error, in units of u·Σ|terms|, of adding n rounded terms in any order: at most n, and with rounding errors
 * that are not all of one sign λ·√n, which λ = 6 makes certain for all practical purposes
 * (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, SIAM J. Sci. Comput. 41, 2019).
 */
export function sumError(n: number): number {
  return Math.min(n, 6 * Math.sqrt(n));
}
