#include "shortest_batch.h"

namespace attention::codec {

namespace {

void shortestFloats(const Numbers<float>& numbers, const uint64_t* powers, Decimals<float>& decimals) {
  shortestOfAll(numbers, powers, decimals);
}

ShortestFloats widest() {
#if defined(HAS_SHORTEST_BATCH_AVX512)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return shortestFloatsAvx512;
  }
#endif
  return shortestFloats;
}

const ShortestFloats kShortestFloats = widest();

}  // namespace

void shortestBatch(const Numbers<float>& numbers, Decimals<float>& decimals) {
  kShortestFloats(numbers, RoundedPowers<float>::first(), decimals);
}

void shortestBatch(const Numbers<double>& numbers, Decimals<double>& decimals) {
  shortestOfAll(numbers, RoundedPowers<double>::first(), decimals);
}

}  // namespace attention::codec
