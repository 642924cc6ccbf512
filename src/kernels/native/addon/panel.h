// What all instruction sets make of their vectors: panels, transposes of any size.
#pragma once

#include <cstddef>

#include "simd.h"

namespace attention::ISA {

/// A vector, of which `left` numbers are there: zeros beyond.
inline Vec loadUpTo(const float* p, size_t left) { return left < kLanes ? loadFirst(p, left) : load(p); }

/// Copies a row: too few numbers for a call of memmove to pay.
inline void copyRow(const float* from, size_t count, float* to) {
  const size_t whole = count - count % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) store(to + i, load(from + i));
  for (size_t i = whole; i < count; i++) to[i] = from[i];
}

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
