// Blocks of keys on their way through panels of queries: scores, online softmax and weighted sum.
#pragma once

#include <algorithm>
#include <optional>
#include <tuple>
#include <type_traits>

#include "attending_panel.h"
#include "microkernel.h"
#include "softmax.h"

namespace attention::ISA {

/// A block of keys on its way through a panel of queries: scores, weights, and their products with the
/// values.
class KeyBlock {
 public:
  /// Numbers that its scores take, and their words where these are elsewhere.
  static size_t room(const Operands& operands) {
    return (operands.parts == 1 ? kBlock : kBlock + operands.words(kBlock)) * kPanel;
  }

  /// `s` is room for the scores.
  explicit KeyBlock(float* s) : s_(s) {}

  /// Begins with the keys [block, end) and a panel that sees any of them.
  void begin(AttendingPanel& panel, size_t block, size_t end, Upcoming keys, Upcoming values) {
    panel_ = &panel;
    std::tie(from_, to_) = panel.queries.seenPart(block, end);
    upcomingKeys_ = keys;
    upcomingValues_ = values;
  }

  /// The scores, and the maximum of all so far.
  void score(Beside* beside = nullptr) {
    const Call& call = panel_->call;
    panel_->queries.dotProducts(from_, to_, s_, panel_->vectors, upcomingKeys_, beside);
    if (call.softcap != 0) panel_->queries.cap(to_ - from_, s_);
    panel_->queries.mask(from_, to_, s_);
    panel_->map.take(from_, to_, s_);
    withVectors([&](auto vectors) { softmax_.begin<vectors>(s_, to_ - from_, panel_->top); });
  }

  /// The weights, as operands.
  void weigh() {
    withVectors([&](auto vectors) { softmax_.weigh<vectors>(s_, to_ - from_); });
    operands().pack(s_, to_ - from_, kPanel, weights(), words());
  }

  /// The same piece by piece, where there is time for work beside products: the weights of two keys in one
  /// vector of lanes. What a piece takes has to be short, and at hand: the processor looks ahead over two or
  /// three of them for the next product.
  struct Weighing {
    const Operands& operands;
    float *s, *words;
    SoftmaxBlock& softmax;
    size_t keys, lastVector;

    void operator()(size_t piece) const {
      const size_t pair = piece >> lastVector, lane = (piece & lastVector) * kLanes, key = 2 * pair;
      operands.beside.weigh(s + key * kPanel + lane, key < keys ? keys - key : 0, softmax.base + lane,
                            softmax.total + lane, words + operands.rowOfPair(pair) * kPanel + lane);
    }
  };
  Weighing weighing() { return {operands(), s_, weights(), softmax_, to_ - from_, panel_->vectors - 1}; }
  size_t pieces() const { return words() / operands().parts * panel_->vectors; }

  /// O = O·shrink + weights·V.
  void addValues(Beside* beside = nullptr) {
    withVectors([&](auto vectors) { softmax_.end<vectors>(panel_->sum); });
    const size_t size = panel_->call.valueHeadSize;
    multiply(operands(), panel_->reads.values + operands().wordsBefore(from_) * size, size, weights(), kPanel,
             words(), size, panel_->o, kPanel, Into::kRescale, softmax_.shrink, panel_->vectors,
             upcomingValues_, beside);
  }

  /// Steps of Beside that score() and addValues() take.
  size_t scoreSteps() const {
    const size_t depth = panel_->call.words(panel_->call.headSize);
    return stepsOf(operands(), depth, to_ - from_, panel_->vectors);
  }
  size_t valueSteps() const {
    return stepsOf(operands(), words(), panel_->call.valueHeadSize, panel_->vectors);
  }

 private:
  const Operands& operands() const { return *panel_->call.operands; }
  size_t words() const { return operands().words(to_ - from_); }
  float* weights() const { return operands().parts == 1 ? s_ : s_ + kBlock * kPanel; }

  template <typename Do>
  void withVectors(Do todo) {
    if (panel_->vectors == 1) return todo(std::integral_constant<int, 1>());
    todo(std::integral_constant<int, 2>());
  }

  float* const s_;
  AttendingPanel* panel_ = nullptr;
  size_t from_ = 0, to_ = 0;
  Upcoming upcomingKeys_, upcomingValues_;
  SoftmaxBlock softmax_;
};

/// Takes blocks of keys through panels of queries, each panel's in ascending order.
///
/// Where products leave a core time for other work, three blocks are on their way at once: while one is
/// scored and the one before the last is multiplied with the values, the last is weighed beside these
/// products. That changes no sum, and so no bit.
class KeyBlocks {
 public:
  /// `scores` is room for those of so many blocks.
  KeyBlocks(const Operands& operands, float* scores)
      : isBeside_(operands.workBeside()),
        blocks_{KeyBlock(scores), KeyBlock(scores + KeyBlock::room(operands)),
                KeyBlock(scores + 2 * KeyBlock::room(operands))} {}

  static size_t room(const Operands& operands) {
    return (operands.workBeside() ? kAtOnce : 1) * KeyBlock::room(operands);
  }

  void take(AttendingPanel& panel, size_t block, size_t end, Upcoming keys, Upcoming values) {
    KeyBlock& now = blocks_[isBeside_ ? taken_++ % kAtOnce : 0];
    now.begin(panel, block, end, keys, values);
    if (isBeside_) return advance(&now);
    now.score();
    now.weigh();
    now.addValues();
  }

  /// Finishes the blocks that are on their way.
  void finish() {
    while (scored_ != nullptr || weighed_ != nullptr) advance(nullptr);
  }

 private:
  static constexpr size_t kAtOnce = 3;

  /// Takes every block a step further, and begins with `now`, where there is one.
  void advance(KeyBlock* now) {
    std::optional<KeyBlock::Weighing> weighing;
    Beside beside;
    if (scored_ != nullptr) {
      weighing.emplace(scored_->weighing());
      const size_t steps =
          (now == nullptr ? 0 : now->scoreSteps()) + (weighed_ == nullptr ? 0 : weighed_->valueSteps());
      beside = Beside(*weighing, scored_->pieces(), steps);
    }
    if (now != nullptr) now->score(&beside);
    if (weighed_ != nullptr) weighed_->addValues(&beside);
    beside.finish();
    weighed_ = scored_;
    scored_ = now;
  }

  const bool isBeside_;
  KeyBlock blocks_[kAtOnce];
  size_t taken_ = 0;
  KeyBlock *scored_ = nullptr, *weighed_ = nullptr;
};

}  // namespace attention::ISA
