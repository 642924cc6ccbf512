// What the products are made of: numbers side by side in words of 32 bits.
#pragma once

#include <cstddef>

namespace attention {

/// What a product does with what C holds.
enum class Into {
  kOverwrite,  // C = A·B
  kAdd,        // C = C + A·B
  kRescale,    // C = C·scale + A·B, one scale for each lane: the correction of the online softmax
};

using MultiplyRows = void (*)(const float* a, size_t aStride, const float* b, size_t bStride, size_t depth,
                              float* c, size_t cStride, Into into, const float* scale);

using MultiplyRow = void (*)(const float* a, size_t aStride, const float* b, size_t panelStride, size_t depth,
                             float* c, Into into);
/// Panels of B that one row of A is multiplied with at a time.
constexpr size_t kRowPanels = 4;

/// Rows of C that a micro-kernel of any instruction set has at the most.
constexpr size_t kMostRows = 16;

/// The operands of products on one instruction set: how they are packed, and the micro-kernels for one or two
/// vectors of a panel and 1, 2, … rows of C. Panels of words are passed as float*, whatever the words hold.
struct Operands {
  /// Neighbours along the sum that share a word: 1 in float32, 2 in bfloat16.
  size_t perWord;
  /// Rows of float32, `columns` wide, as rows of words: row p holds rows p·perWord …, zeros beyond the last.
  /// `words` may begin where the rows begin.
  void (*pack)(const float* rows, size_t count, size_t columns, float* words);
  MultiplyRows multiply[2][kMostRows];
  /// One row in the columns of 1, 2, … panels; kOverwrite or kAdd.
  MultiplyRow multiplyRow[kRowPanels];

  /// Words that n neighbours take.
  size_t words(size_t n) const { return (n + perWord - 1) / perWord; }
};

}  // namespace attention
