// What all instruction sets make of their vectors: panels, transposes of any size.
#pragma once

#include <cstddef>

#include "simd.h"
#include "sum_lanes.h"

namespace attention::ISA {

/// Copies a row: too few numbers for a call of memmove to pay.
inline void copyRow(const float* from, size_t count, float* to) {
  const size_t whole = count - count % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) store(to + i, load(from + i));
  for (size_t i = whole; i < count; i++) to[i] = from[i];
}

/// Looks at numbers for any that is not finite. x·0 is 0 for every finite x and NaN for every other.
struct FiniteProbe {
  Vec zeros = broadcast(0);
  void see(Vec x) { zeros = fma(x, broadcast(0), zeros); }
};

/// 0 where all that a probe has seen is finite, else NaN.
inline float sumOf(const FiniteProbe& probe) { return sumLanes(probe.zeros); }

/// The same for a probe of each vector of a panel: one chain of sums would wait for itself.
inline float sumOf(const FiniteProbe (&probes)[2]) { return sumLanes(probes[0].zeros + probes[1].zeros); }

/// Width of a panel: two vectors of tokens, side by side.
constexpr int kPanel = 2 * kLanes;

/// Transposes rows x columns of any size: to[c * toStride + r] = from[r * fromStride + c].
inline void transpose(const float* from, size_t fromStride, size_t rows, size_t columns, float* to,
                      size_t toStride) {
  const size_t wholeRows = rows - rows % kLanes;
  const size_t wholeColumns = columns - columns % kLanes;
  for (size_t r = 0; r < wholeRows; r += kLanes) {
    for (size_t c = 0; c < wholeColumns; c += kLanes) {
      transposeTile(from + r * fromStride + c, fromStride, to + c * toStride + r, toStride);
    }
  }
  for (size_t r = 0; r < rows; r++) {
    for (size_t c = r < wholeRows ? wholeColumns : 0; c < columns; c++) {
      to[c * toStride + r] = from[r * fromStride + c];
    }
  }
}

}  // namespace attention::ISA
