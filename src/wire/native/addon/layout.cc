#include "layout.h"

namespace attention::codec {

namespace {

LayOutFloats widest() {
#if defined(HAS_LAYOUT_AVX512)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return layOutFloatsAvx512;
  }
#endif
  return layOutFloats;
}

const LayOutFloats kLayOutFloats = widest();

}  // namespace

void layOut(const Numbers<float>& numbers, LaidOut<float>& result) {
  kLayOutFloats(numbers, RoundedPowers<float>::first(), result);
}

void layOut(const Numbers<double>& numbers, LaidOut<double>& result) {
  const PowerOfTen* const powers = RoundedPowers<double>::first();
  for (int i = 0; i < kBatch; i++) {
    const Shortest<double> decimal = shortest(numbers[i], powers);
    const int length = digitCount<double>(decimal.digits);
    const uint64_t digits = decimal.digits * kPowers[kMostDigitsOf<double> - length];
    const uint64_t high = digits / 100000000, highest = high / 100000000;
    result.middle[i] = digitsOf(static_cast<uint32_t>(high - 100000000 * highest));
    result.low[i] = digitsOf(static_cast<uint32_t>(digits - 100000000 * high));
    result.highest[i] = highest;
    result.point[i] = length + decimal.exponent;
  }
}

}  // namespace attention::codec
