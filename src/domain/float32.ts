/** The smallest positive number that float32 holds with all its bits, and bfloat16, which has the same exponents. */
export const SMALLEST_NORMAL = 2 ** -126;

/** Whether float32 holds a number with all its bits, rounded: 0, or one between the smallest normal and the largest. */
export function isHeldByFloat32(x: number): boolean {
  return x === 0 || (Math.abs(x) >= SMALLEST_NORMAL && Number.isFinite(Math.fround(x)));
}
