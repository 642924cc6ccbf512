// Vectorised exponential and hyperbolic tangent, with their errors.
import { broadcast, madd } from './simd';

/**
 * e^x for x <= 88: 0 for x = -Infinity and below the normal range. x·log2(e) is cut into a whole n and a rest r with
 * ln(2) in two parts (Cody and Waite), and e^r = 1 + r + r²·P(r) on |r| <= ln(2)/2 (coefficients of Cephes expf, whose
 * relative error is 4e-8); together within 2 units in the last place.
 */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  // Below the normal range the result is 0; the bound keeps the rest finite for x = -Infinity. NaN stays NaN.
  const bounded = f32x4.pmax(x, broadcast(-90));
  const n = f32x4.nearest(f32x4.mul(bounded, broadcast(1.44269504)));
  // ln(2) = 0.693359375 - 2.12194440e-4; the first has few bits, so that n times it is exact.
  let r = madd(n, broadcast(-0.693359375), bounded);
  r = madd(n, broadcast(2.1219444e-4), r);
  let p = broadcast(1.98756915e-4);
  p = madd(p, r, broadcast(1.3981999507e-3));
  p = madd(p, r, broadcast(8.3334519073e-3));
  p = madd(p, r, broadcast(4.1665795894e-2));
  p = madd(p, r, broadcast(1.6666665459e-1));
  p = madd(p, r, broadcast(5.0000001201e-1));
  p = f32x4.add(madd(f32x4.mul(p, r), r, r), broadcast(1));
  // 2^n by its bits; n >= -130 here, and what is not normal becomes 0.
  const exponent = i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127));
  const power = i32x4.shl(i32x4.max_s(exponent, i32x4.splat(0)), 23);
  return f32x4.mul(p, power);
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
