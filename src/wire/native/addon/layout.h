// The digits of many numbers at a time, laid out for writing.
#pragma once

#include "shortest.h"

namespace attention::codec {

/// So many elements at a time are taken from one step to the next.
constexpr int kBatch = 32;

/// Digits of the longest of the shortest decimals of a format.
template <typename Float>
constexpr int kMostDigitsOf = sizeof(Float) == sizeof(float) ? 9 : 17;

/// Shortest decimals with zeros behind them up to that length: the first digit, and eights of those after it
/// as in digitsOf. `point` is where the point stands, counted from the first digit.
template <typename Float>
struct LaidOut;
template <>
struct LaidOut<float> {
  uint64_t low[kBatch];
  uint32_t highest[kBatch];
  int32_t point[kBatch];
};
template <>
struct LaidOut<double> {
  uint64_t middle[kBatch], low[kBatch], highest[kBatch];
  int32_t point[kBatch];
};

template <typename Float>
using Numbers = Float[kBatch];

/// Of numbers that are finite and not 0; others give something too. Those of float32 in vectors, of the
/// widest kind that the processor has.
void layOut(const Numbers<float>& numbers, LaidOut<float>& result);
void layOut(const Numbers<double>& numbers, LaidOut<double>& result);

/// How many digits a number has, 1 to kMostDigitsOf.
template <typename Float>
inline int digitCount(typename Format<Float>::Bits number) {
  int count = 1;
#pragma GCC unroll 17
  for (int i = 1; i < kMostDigitsOf<Float>; i++) count += number >= kPowers[i];
  return count;
}

/// The loop over float32, which compilers make vectors of; `powers` are RoundedPowers.
inline void layOutFloats(const Numbers<float>& numbers, const uint64_t* powers, LaidOut<float>& result) {
  // By a pointer: compilers make no vectors of what they know to be constant.
  const uint64_t* const tens = kPowers;
#pragma GCC ivdep
  for (int i = 0; i < kBatch; i++) {
    const Shortest<float> decimal = shortest(numbers[i], powers);
    const int length = digitCount<float>(decimal.digits);
    const auto digits = static_cast<uint32_t>(decimal.digits * tens[kMostDigitsOf<float> - length]);
    const uint32_t highest = digits / 100000000;
    result.low[i] = digitsOf(digits - 100000000 * highest);
    result.highest[i] = highest;
    result.point[i] = length + decimal.exponent;
  }
}

using LayOutFloats = void (*)(const Numbers<float>& numbers, const uint64_t* powers, LaidOut<float>& result);
#if defined(HAS_LAYOUT_AVX512)
void layOutFloatsAvx512(const Numbers<float>& numbers, const uint64_t* powers, LaidOut<float>& result);
#endif

}  // namespace attention::codec
