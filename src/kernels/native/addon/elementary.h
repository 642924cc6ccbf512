// Vectorised exponential and hyperbolic tangent, with their errors.
#pragma once

#include "simd.h"

namespace attention::ISA {

/// e^x for x <= 88: 0 for x = -Infinity and below the normal range. x·log2(e) is cut into a whole and a rest
/// r in
/// [-1/2, 1/2] with log2(e) in two parts (Cody and Waite), and 2^r is a polynomial of degree 6 (relative
/// error 4e-8); together within 2 units in the last place.
inline Vec exp(Vec x) {
  const Vec n = roundToInteger(x * broadcast(1.44269504f));
  // ln(2) = 0.693359375 - 2.12194440e-4; the first has few bits, so that n times it is exact.
  // x = -Infinity would give NaN here: the rest is replaced by 0 and the scale by 2^-Infinity = 0.
  Vec r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  r = select(less(x, broadcast(-1e30f)), broadcast(0), r);
  // e^r = 1 + r + r²·P(r) on |r| <= ln(2)/2 (coefficients of Cephes expf).
  Vec p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = fma(p * r, r, r) + broadcast(1);
  return scaleByPowerOfTwo(p, n);
}

/// tanh x. Small x by an odd polynomial (Cephes tanhf, |x| < 0.625), larger by 1 - 2/(e^2|x| + 1), so that
/// the relative error stays within 4 units in the last place everywhere.
inline Vec tanh(Vec x) {
  const Vec size = abs(x);
  const Vec square = x * x;
  Vec p = broadcast(-5.70498872745e-3f);
  p = fma(p, square, broadcast(2.06390887954e-2f));
  p = fma(p, square, broadcast(-5.37397155531e-2f));
  p = fma(p, square, broadcast(1.33314422036e-1f));
  p = fma(p, square, broadcast(-3.33332819422e-1f));
  const Vec small = fma(p * square, x, x);
  // Beyond 10 the result is 1 in float32; the bound keeps the exponential finite.
  const Vec bounded = select(less(size, broadcast(10)), size, broadcast(10));
  const Vec large = broadcast(1) - broadcast(2) / (exp(bounded + bounded) + broadcast(1));
  const Vec signedLarge = select(less(x, broadcast(0)), broadcast(0) - large, large);
  return select(less(size, broadcast(0.625f)), small, signedLarge);
}

}  // namespace attention::ISA
