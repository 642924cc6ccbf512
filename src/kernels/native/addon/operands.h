// What the products are made of: numbers side by side in words of 32 bits.
#pragma once

#include <array>
#include <cstddef>

#include "beside.h"

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
/// `beside` is done on the way by products of tiles, and left to multiply() by others; it may be null.
using MultiplyRows = void (*)(const float* a, size_t aStride, const float* b, size_t bStride, size_t depth,
                              float* c, size_t cStride, Into into, const float* scale, const float* upcoming,
                              size_t upcomingStride, Beside* beside);

using MultiplyRow = void (*)(const float* a, size_t aStride, const float* b, size_t panelStride, size_t depth,
                             float* c, Into into);
/// Panels of B that one row of A is multiplied with at a time.
constexpr size_t kRowPanels = 4;

/// Panels of tokens that a projection takes at a time, at the most.
constexpr size_t kMostBlockPanels = 4;

/// Rows of C that a micro-kernel of any instruction set has at the most.
constexpr size_t kMostRows = 32;

/// Neighbours along a sum in bfloat16 that are summed by themselves before they are added to it, and the
/// words that hold them; see bfloat16_chains.h.
constexpr size_t kGroup = 32;
constexpr size_t kGroupWords = kGroup / 2;

/// Makes `wordRows` rows of words of `count` rows of float32, `columns` wide; zeros stand for rows that are
/// not there.
using Pack = void (*)(const float* rows, size_t count, size_t columns, float* words, size_t wordRows);

/// Work that is done beside products, see beside.h, on one vector of the lanes of a panel. `words` is the row
/// of the first part; those of other parts lie kGroupWords rows behind each other.
struct PairWork {
  /// Makes words of two rows.
  void (*pack)(const float* rows, float* words) = nullptr;
  /// Makes words of the weights exp(s - base) of two keys, s[key][lane], or of the first of them and a zero,
  /// or of zeros, and adds them to the total of each lane.
  void (*weigh)(const float* s, size_t keys, const float* base, float* total, float* words) = nullptr;
};

/// The operands of products on one instruction set: how they are packed, and the micro-kernels for one or two
/// vectors of a panel and 1, 2, … rows of C. Panels of words are passed as float*, whatever the words hold.
struct Operands {
  /// Neighbours along the sum that share a word: 1 in float32, 2 in bfloat16.
  size_t perWord = 1;
  /// Numbers in bfloat16 that stand for one number: 1, or 3 for float32 (see split_float32.h).
  size_t parts = 1;
  /// For the operand B; `words` may begin where the rows begin.
  Pack pack = nullptr;
  /// For the operand A, which may be another order of the same words; `words` are elsewhere.
  Pack packLeft = nullptr;
  /// Rows of a packed weight that are taken at a time, whole groups; they stay in a near cache for a block of
  /// so many panels of tokens, at the most kMostBlockPanels.
  size_t depth = 0, blockPanels = 0;
  /// How far neighbouring rows of A lie apart.
  size_t leftStride = 1;
  /// Whether a micro-kernel takes rows by whole tiles, and others as slowly as these.
  bool takesTiles = false;
  /// Nothing, where products leave no time for work beside them.
  PairWork beside;
  /// Steps of Beside that a micro-kernel of tiles takes for a group of words of each part.
  size_t groupSteps = 1;
  /// Rows of C that a micro-kernel for one vector, or for two, has at the most.
  std::array<size_t, 2> mostRows{};
  /// Asking for no line of what is upcoming in each step, for one, and for two where there is that.
  std::array<MultiplyRows, kMostRows> multiply[3][2]{};
  /// One row in the columns of 1, 2, … panels; kOverwrite or kAdd.
  std::array<MultiplyRow, kRowPanels> multiplyRow{};
  /// What a thread does before its first product, and after its last; null where there is nothing to do.
  void (*begin)() = nullptr;
  void (*end)() = nullptr;

  /// Whether operands are float32 as it is.
  bool arePlain() const { return perWord == 1; }
  /// Whether numbers are rounded to bfloat16, and not split.
  bool areRounded() const { return !arePlain() && parts == 1; }
  /// Whether weights are kept as words; else a block of them is packed whenever it is read.
  bool keepWeights() const { return parts == 1; }
  /// Words that n neighbours take: whole groups in bfloat16.
  size_t words(size_t n) const { return arePlain() ? n : (n + kGroup - 1) / kGroup * kGroupWords * parts; }
  /// Words before neighbour n: whole panels are before it.
  size_t wordsBefore(size_t n) const {
    return arePlain() ? n : n / kGroup * kGroupWords * parts + n % kGroup / perWord;
  }
  bool workBeside() const { return beside.pack != nullptr; }
  /// Steps of Beside that such a micro-kernel takes for so many words.
  size_t steps(size_t words) const { return words / (kGroupWords * parts) * groupSteps; }
  /// The row of words, that of the first part, which has the rows 2·pair and 2·pair + 1.
  size_t rowOfPair(size_t pair) const {
    return pair / kGroupWords * kGroupWords * parts + pair % kGroupWords;
  }
  /// Rows of a packed weight with n numbers to a column, and the words that as many of them are multiplied
  /// with.
  size_t weightRows(size_t n) const { return keepWeights() ? words(n) : (n + kGroup - 1) / kGroup * kGroup; }
  size_t wordsOfRows(size_t rows) const { return keepWeights() ? rows : words(rows); }
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
