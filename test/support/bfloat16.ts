/**
 * c + the products of two pairs of bfloat16 as AVX512_BF16 has them: two fused multiply-adds, the odd pair first, each
 * rounded to nearest in float32 and 0 with its sign where it is below 2^-126 once rounded. An operand is bfloat16, so
 * a product is exact in float64, and where its sum with c is not, rounding it twice is rounding it once.
 */
export function addPairs(c: number, even: readonly [number, number], odd: readonly [number, number]): number {
  return flushed(flushed(c + odd[0] * odd[1]) + even[0] * even[1]);
}

function flushed(sum: number): number {
  // Scaled up, so that nothing is lost: the decision is taken on 24 bits, whatever the exponent.
  const isTiny = Math.abs(Math.fround(sum * 2 ** 64)) < 2 ** -62;
  return isTiny ? sum * 0 : Math.fround(sum);
}

/** a·b of rows of bfloat16, by pairs in ascending order; a last one alone is beside a zero. */
export function dotOfPairs(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let c = 0; c < a.length; c += 2)
    sum = addPairs(sum, [a[c], b[c]], c + 1 < a.length ? [a[c + 1], b[c + 1]] : [0, 0]);
  return sum;
}
