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
constexpr size_t kMostRows = 32;

/// Neighbours along a sum in bfloat16 that are summed by themselves before they are added to it, and the
/// words that hold them; see bfloat16.h.
constexpr size_t kGroup = 32;
constexpr size_t kGroupWords = kGroup / 2;

/// Makes `wordRows` rows of words of `count` rows of float32, `columns` wide; zeros stand for rows that are
/// not there.
using Pack = void (*)(const float* rows, size_t count, size_t columns, float* words, size_t wordRows);

/// The operands of products on one instruction set: how they are packed, and the micro-kernels for one or two
/// vectors of a panel and 1, 2, … rows of C. Panels of words are passed as float*, whatever the words hold.
struct Operands {
  /// Neighbours along the sum that share a word: 1 in float32, 2 in bfloat16.
  size_t perWord;
  /// For the operand B; `words` may begin where the rows begin.
  Pack pack;
  /// For the operand A, which may be another order of the same words; `words` are elsewhere.
  Pack packLeft;
  /// How far neighbouring rows of A lie apart.
  size_t leftStride;
  /// Rows of C that a micro-kernel for one vector, or for two, has at the most.
  size_t mostRows[2];
  /// Without and with asking for what is upcoming.
  MultiplyRows multiply[2][2][kMostRows];
  /// One row in the columns of 1, 2, … panels; kOverwrite or kAdd.
  MultiplyRow multiplyRow[kRowPanels];
  /// What a thread does before its first product, and after its last; null where there is nothing to do.
  void (*begin)();
  void (*end)();

  /// Words that n neighbours take: whole groups in bfloat16.
  size_t words(size_t n) const { return perWord == 1 ? n : (n + kGroup - 1) / kGroup * kGroupWords; }
  /// Rows of float32 or of words, whichever are more: what memory that is packed in place must hold.
  size_t rows(size_t n) const { return n < words(n) ? words(n) : n; }
};

/// While it lives, its thread computes products of these operands.
class Multiplying {
 public:
  explicit Multiplying(const Operands& operands) : operands_(operands) {
    if (operands.begin != nullptr) operands.begin();
  }
  ~Multiplying() {
    if (operands_.end != nullptr) operands_.end();
  }
  Multiplying(const Multiplying&) = delete;
  Multiplying& operator=(const Multiplying&) = delete;

 private:
  const Operands& operands_;
};

}  // namespace attention
