// The one inner loop that all products are made of.
#pragma once

#include <utility>

#include "simd.h"

namespace attention::ISA {

/// What a product does with what C holds.
enum class Into {
  kOverwrite,  // C = A·B
  kAdd,        // C = C + A·B
  kRescale,    // C = C·scale + A·B, one scale for each lane: the correction of the online softmax
};

/// C[i][lane] = Σ_k a[k·aStride + i]·b[k·bStride + lane], i < kRows, lane < kPanel. A row of B is two
/// vectors, an element of A is broadcast, and the kRows x 2 accumulators stay in registers. Each element is
/// one chain of fused multiply-adds over k in ascending order, whatever the block it falls into. The chain
/// begins at zero and is added to C as a whole: many small terms do not drown one by one in a large C.
template <int kRows>
void multiplyRows(const float* a, size_t aStride, const float* b, size_t bStride, size_t depth, float* c,
                  size_t cStride, Into into, const float* scale) {
  Vec sum[kRows][2];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) sum[i][0] = sum[i][1] = broadcast(0);
  for (size_t k = 0; k < depth; k++) {
    const Vec b0 = load(b + k * bStride);
    const Vec b1 = load(b + k * bStride + kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) {
      const Vec x = broadcast(a[k * aStride + i]);
      sum[i][0] = fma(x, b0, sum[i][0]);
      sum[i][1] = fma(x, b1, sum[i][1]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) {
    for (int half = 0; half < 2; half++) {
      float* to = c + i * cStride + half * kLanes;
      if (into == Into::kAdd) sum[i][half] = load(to) + sum[i][half];
      if (into == Into::kRescale) sum[i][half] = fma(load(to), load(scale + half * kLanes), sum[i][half]);
      store(to, sum[i][half]);
    }
  }
}

using MultiplyRows = void (*)(const float*, size_t, const float*, size_t, size_t, float*, size_t, Into,
                              const float*);

template <size_t... kRows>
constexpr auto multiplyTable(std::index_sequence<kRows...>) {
  struct Table {
    MultiplyRows of[sizeof...(kRows)];
  };
  return Table{{&multiplyRows<static_cast<int>(kRows) + 1>...}};
}

/// The same for any number of rows, cut into pieces of about equal height.
inline void multiply(const float* a, size_t aStride, const float* b, size_t bStride, size_t depth,
                     size_t rows, float* c, size_t cStride, Into into, const float* scale = nullptr) {
  static constexpr auto table = multiplyTable(std::make_index_sequence<kMaxRows>());
  const size_t pieces = (rows + kMaxRows - 1) / kMaxRows;
  size_t row = 0;
  for (size_t piece = 0; piece < pieces; piece++) {
    const size_t end = rows * (piece + 1) / pieces;
    table.of[end - row - 1](a + row, aStride, b, bStride, depth, c + row * cStride, cStride, into, scale);
    row = end;
  }
}

}  // namespace attention::ISA
