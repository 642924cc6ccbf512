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

/// Memory that is read after a product and lies farther away than the second-level cache: the product asks
/// for it while it computes.
struct Upcoming {
  const float* data = nullptr;
  size_t count = 0;

  /// Part `index` of `parts` of about the same size.
  Upcoming part(size_t index, size_t parts) const {
    if (count == 0) return {};
    const size_t from = count * index / parts;
    return {data + from, count * (index + 1) / parts - from};
  }
};

/// `upcoming` is what a step of the sum asks for, `upcomingStride` behind what the step before asked for.
using MultiplyRows = void (*)(const float* a, size_t aStride, const float* b, size_t bStride, size_t depth,
                              float* c, size_t cStride, Into into, const float* scale, const float* upcoming,
                              size_t upcomingStride);

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
  /// Without and with asking for what is upcoming.
  MultiplyRows multiply[2][2][kMostRows];
  /// One row in the columns of 1, 2, … panels; kOverwrite or kAdd.
  MultiplyRow multiplyRow[kRowPanels];

  /// Words that n neighbours take.
  size_t words(size_t n) const { return (n + perWord - 1) / perWord; }
};

}  // namespace attention
