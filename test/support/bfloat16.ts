/** Neighbours along a sum that are summed by themselves. */
const GROUP = 32;

/**
 * a·b of rows of bfloat16 as the tiles of AMX have it: each group of neighbours is two chains of fused multiply-adds, one
 * of every other number; the two are added, and then the group to the sum. Each step is rounded to nearest in float32
 * and 0 with its sign where it is below 2^-126 once rounded. An operand is bfloat16, so a product is exact in float64,
 * and where its sum with another number is not, rounding it twice is rounding it once.
 */
export function dotOfGroups(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let from = 0; from < a.length; from += GROUP) {
    const chains = [0, 0];
    for (let c = from; c < from + GROUP; c++)
      chains[c % 2] = flushed(chains[c % 2] + (c < a.length ? a[c] * b[c] : 0));
    sum = flushed(sum + flushed(chains[0] + chains[1]));
  }
  return sum;
}

function flushed(sum: number): number {
  // Scaled up, so that nothing is lost: the decision is taken on 24 bits, whatever the exponent.
  const isTiny = Math.abs(Math.fround(sum * 2 ** 64)) < 2 ** -62;
  return isTiny ? sum * 0 : Math.fround(sum);
}
