// The shortest decimals of many numbers at a time.
#pragma once

#include "shortest.h"

namespace attention::codec {

/// So many elements at a time are taken from one step to the next.
constexpr int kBatch = 32;

template <typename Float>
using Numbers = Float[kBatch];
template <typename Float>
using Decimals = Shortest<Float>[kBatch];

/// As `shortest`, of all. Those of float32 in vectors, of the widest kind that the processor has.
void shortestBatch(const Numbers<float>& numbers, Decimals<float>& decimals);
void shortestBatch(const Numbers<double>& numbers, Decimals<double>& decimals);

/// The loop that compilers make vectors of; `powers` are RoundedPowers.
template <typename Float>
inline void shortestOfAll(const Numbers<Float>& numbers, const typename Scale<Float>::Power* powers,
                          Decimals<Float>& decimals) {
#pragma GCC ivdep
  for (int i = 0; i < kBatch; i++) decimals[i] = shortest(numbers[i], powers);
}

using ShortestFloats = void (*)(const Numbers<float>& numbers, const uint64_t* powers,
                                Decimals<float>& decimals);
#if defined(HAS_SHORTEST_BATCH_AVX512)
void shortestFloatsAvx512(const Numbers<float>& numbers, const uint64_t* powers, Decimals<float>& decimals);
#endif

}  // namespace attention::codec
