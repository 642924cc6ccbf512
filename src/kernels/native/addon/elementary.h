// Vectorised exponential and hyperbolic tangent, with their errors.
#pragma once

#include "simd.h"

namespace attention::ISA {

/// Vectors that a loop takes the exponentials of at a time. One by itself waits for each of its steps, and a
/// processor that looks ahead finds no more than three quarters of what it could do meanwhile.
constexpr int kExpsAtOnce = 4;

/// todo(i) for each i < kCount, one behind the other: build-native.mjs has the compiler leave them so.
template <int kCount, typename Do>
[[gnu::always_inline]] inline void forEach(Do todo) {
#pragma GCC unroll 8
  for (int i = 0; i < kCount; i++) todo(i);
}

/// Puts e^x in the place of each x: for x <= 88; 0 for x = -Infinity and wherever it is below the normal
/// range. x·log2(e) is cut into a whole n and a rest in [-1/2, 1/2], and 2^rest is a polynomial of degree 6.
/// The rounding of x·log2(e) costs a relative error of 1.3·|x|·2^-24, about as much as the rounding of x
/// itself; the rest is within 2 units in the last place.
template <int kCount>
[[gnu::always_inline]] inline void expEach(Vec (&x)[kCount]) {
  // Nothing on the way is below the normal range: to make one subnormal number, or a 0 out of one, takes a
  // processor as long as thirty of these exponentials, and a forbidden key is an x of -Infinity.
  constexpr float kLogOfSmallest = -87.33654f, kLog2OfE = 1.44269504f;
  // 2^rest (coefficients of Cephes exp2f, relative error 3e-8).
  constexpr float kHighest = 1.535336188e-4f;
  constexpr float kLower[] = {1.339887440e-3f, 9.618437358e-3f, 5.550332471e-2f,
                              2.402264791e-1f, 6.931472029e-1f, 1};
  Mask isNormal[kCount];
  Vec n[kCount], power[kCount];
  Vec(&rest)[kCount] = x;
  forEach<kCount>([&](int i) { isNormal[i] = notLess(x[i], broadcast(kLogOfSmallest)); });
  forEach<kCount>([&](int i) { x[i] = where(isNormal[i], x[i] * broadcast(kLog2OfE)); });
  forEach<kCount>([&](int i) { n[i] = roundToInteger(x[i]); });
  forEach<kCount>([&](int i) { rest[i] = x[i] - n[i]; });
  forEach<kCount>([&](int i) { power[i] = broadcast(kHighest); });
#pragma GCC unroll 8
  for (const float coefficient : kLower) {
    forEach<kCount>([&](int i) { power[i] = fma(power[i], rest[i], broadcast(coefficient)); });
  }
  forEach<kCount>([&](int i) { x[i] = where(isNormal[i], scaleByPowerOfTwo(power[i], n[i])); });
}

inline Vec exp(Vec x) {
  Vec one[] = {x};
  expEach(one);
  return one[0];
}

/// tanh x. Small x by an odd polynomial (Cephes tanhf, |x| < 0.625), larger by 1 - 2/(e^2|x| + 1), so that
/// the relative error stays within 4 units in the last place everywhere; NaN of NaN.
inline Vec tanh(Vec x) {
  const Vec size = abs(x);
  const Vec square = x * x;
  Vec p = broadcast(-5.70498872745e-3f);
  p = fma(p, square, broadcast(2.06390887954e-2f));
  p = fma(p, square, broadcast(-5.37397155531e-2f));
  p = fma(p, square, broadcast(1.33314422036e-1f));
  p = fma(p, square, broadcast(-3.33332819422e-1f));
  const Vec small = fma(p * square, x, x);
  // Beyond 10 the result is 1 in float32; the bound keeps the exponential finite, and NaN what it is: an
  // overflow that somebody looks for.
  const Vec bounded = select(less(broadcast(10), size), broadcast(10), size);
  const Vec large = broadcast(1) - broadcast(2) / (exp(bounded + bounded) + broadcast(1));
  const Vec signedLarge = select(less(x, broadcast(0)), broadcast(0) - large, large);
  return select(less(size, broadcast(0.625f)), small, signedLarge);
}

}  // namespace attention::ISA
