// Blocks of a weight, as the products of a projection read them.
#pragma once

#include <algorithm>
#include <utility>

#include "call.h"
#include "microkernel.h"
#include "scratch.h"

namespace attention::ISA {

/// Blocks of `depth` rows of panels of columns (see Operands), in the order in which they lie in memory.
/// Weights that are kept as words are read where they are; of others each block is packed beside the products
/// of the one before.
class WeightBlocks {
 public:
  /// Of the columns before `to`.
  WeightBlocks(const Operands& operands, const Linear& linear, size_t to)
      : operands_(operands), end_(linear.packed.data + panelsOf(to, kPanel) * kPanel * linear.rows) {
    if (operands.keepWeights()) return;
    const size_t room = operands.wordsOfRows(std::min(operands.depth, linear.rows)) * kPanel;
    static thread_local Scratch scratch;
    words_ = scratch.take(2 * room);
    next_ = words_ + room;
  }

  /// The words of the `depth` rows that lie at `rows`.
  const float* take(const float* rows, size_t depth) {
    if (operands_.keepWeights()) return rows;
    if (rows == ahead_) {
      std::swap(words_, next_);
    } else {
      operands_.pack(rows, depth, kPanel, words_, operands_.wordsOfRows(depth));
    }
    return words_;
  }

  /// Work that packs the `depth` rows that lie at `rows`, those that are taken next, beside products of so
  /// many steps.
  Beside packAhead(const float* rows, size_t depth, size_t steps) {
    if (operands_.keepWeights() || rows >= end_) return {};
    ahead_ = rows;
    return Beside(*this, depth, steps);
  }

  /// Packs two rows of one vector of columns.
  void operator()(size_t piece) const {
    const size_t pair = piece / 2, column = piece % 2 * kLanes;
    operands_.beside.pack(ahead_ + 2 * pair * kPanel + column,
                          next_ + operands_.rowOfPair(pair) * kPanel + column);
  }

 private:
  const Operands& operands_;
  const float* const end_;
  const float* ahead_ = nullptr;
  float *words_ = nullptr, *next_ = nullptr;
};

}  // namespace attention::ISA
