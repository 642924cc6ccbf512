// The vectors that the kernels are written in: four float32 lanes, and panels of two vectors.

/** Tokens or columns side by side in a panel of operand B and of every result. */
export const LANES: i32 = 8;
/** Bytes of a row of a panel. */
export const ROW: usize = 32;
/** Rows side by side in a panel of operand A. */
export const HEIGHT: i32 = 6;
/** Bytes of them. */
export const COLUMN: usize = 24;

// @ts-ignore: decorator
@inline
export function broadcast(x: f32): v128 {
  return f32x4.splat(x);
}

/**
 * a·b + c: rounded once in the relaxed module, where the machine has the instruction; rounded twice in the plain one.
 */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** The larger; a where either is NaN. */
// @ts-ignore: decorator
@inline
export function larger(a: v128, b: v128): v128 {
  return f32x4.pmax(a, b);
}

/** Transposes a 4 x 4 tile: to[c * toStride + r] = from[r * fromStride + c]; strides in bytes. */
// @ts-ignore: decorator
@inline
export function transposeTile(from: usize, fromStride: usize, to: usize, toStride: usize): void {
  const r0 = v128.load(from);
  const r1 = v128.load(from + fromStride);
  const r2 = v128.load(from + 2 * fromStride);
  const r3 = v128.load(from + 3 * fromStride);
  const t0 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
  const t1 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const t2 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
  const t3 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f64>(t0, t2, 0, 2));
  v128.store(to + toStride, v128.shuffle<f64>(t0, t2, 1, 3));
  v128.store(to + 2 * toStride, v128.shuffle<f64>(t1, t3, 0, 2));
  v128.store(to + 3 * toStride, v128.shuffle<f64>(t1, t3, 1, 3));
}

/** Takes numbers into a sum that stays 0 as long as all are finite: x·0 is 0 for every finite x and NaN for every other. */
// @ts-ignore: decorator
@inline
export function probe(x: v128, sum: v128): v128 {
  return f32x4.add(f32x4.mul(x, broadcast(0)), sum);
}

/** Whether all lanes are 0. */
export function isZero(x: v128): bool {
  return i32x4.all_true(f32x4.eq(x, broadcast(0)));
}

/** Whether `count` numbers are finite. */
export function isFinite(x: usize, count: i32): bool {
  const end = x + (<usize>count << 2);
  const whole = x + ((<usize>count << 2) & ~15);
  let probes = broadcast(0);
  for (; x < whole; x += 16) probes = probe(v128.load(x), probes);
  let rest: f32 = 0;
  for (; x < end; x += 4) rest += load<f32>(x) * 0;
  return isZero(probes) && rest == 0;
}
