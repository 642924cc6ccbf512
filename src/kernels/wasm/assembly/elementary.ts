// Vectorised exponential and hyperbolic tangent, with their errors.
import { broadcast, madd } from './simd';

/**
 * Constants are read from memory: the compilers of V8 make a vector constant by several instructions wherever it is
 * used, and a load by one.
 */
const CONSTANTS: usize = memory.data<f32>([
  1.44269504, // log2(e)
  12582912, // 1.5·2^23
  // Coefficients of Cephes exp2f.
  1.535336188e-4,
  1.33988744e-3,
  9.618437358e-3,
  5.550332471e-2,
  2.402264791e-1,
  6.931472029e-1,
  1,
  -87.34,
]);

/**
 * e^x for x <= 88; 0 for x = -Infinity and wherever it is below the normal range. x·log2(e) is cut into a whole n and a
 * rest in [-1/2, 1/2], and 2^rest is a polynomial of degree 6 (relative error 3e-8). The roundings of log2(e) and of the
 * product cost a relative error of 1.3·|x|·2^-24, about as much as the rounding of x itself; what comes after is within 2
 * units in the last place.
 */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const scaled = f32x4.mul(x, v128.load32_splat(CONSTANTS));
  // Beside 1.5·2^23 there is room for whole numbers alone: the sum rounds to one, which its low bits hold.
  const large = v128.load32_splat(CONSTANTS, 4);
  const sum = f32x4.add(scaled, large);
  const rest = f32x4.sub(scaled, f32x4.sub(sum, large));
  let p = v128.load32_splat(CONSTANTS, 8);
  p = madd(p, rest, v128.load32_splat(CONSTANTS, 12));
  p = madd(p, rest, v128.load32_splat(CONSTANTS, 16));
  p = madd(p, rest, v128.load32_splat(CONSTANTS, 20));
  p = madd(p, rest, v128.load32_splat(CONSTANTS, 24));
  p = madd(p, rest, v128.load32_splat(CONSTANTS, 28));
  const one = v128.load32_splat(CONSTANTS, 32);
  p = madd(p, rest, one);
  // 2^n: n in the place of the exponent, added to that of 1.
  const power = i32x4.add(i32x4.shl(sum, 23), one);
  return v128.andnot(f32x4.mul(p, power), f32x4.lt(x, v128.load32_splat(CONSTANTS, 36)));
}

/**
 * tanh x. Small x by an odd polynomial (Cephes tanhf, |x| < 0.625), larger by 1 - 2/(e^2|x| + 1), so that the relative
 * error stays within 4 units in the last place everywhere.
 */
// @ts-ignore: decorator
@inline
export function tanh(x: v128): v128 {
  const size = f32x4.abs(x);
  const square = f32x4.mul(x, x);
  let p = broadcast(-5.70498872745e-3);
  p = madd(p, square, broadcast(2.06390887954e-2));
  p = madd(p, square, broadcast(-5.37397155531e-2));
  p = madd(p, square, broadcast(1.33314422036e-1));
  p = madd(p, square, broadcast(-3.33332819422e-1));
  const small = madd(f32x4.mul(p, square), x, x);
  // Beyond 10 the result is 1 in float32; the bound keeps the exponential finite. NaN stays NaN.
  const bounded = f32x4.pmin(size, broadcast(10));
  const one = broadcast(1);
  const large = f32x4.sub(one, f32x4.div(broadcast(2), f32x4.add(exp(f32x4.add(bounded, bounded)), one)));
  const sign = v128.and(x, broadcast(-0.0));
  return v128.bitselect(small, v128.or(large, sign), f32x4.lt(size, broadcast(0.625)));
}
