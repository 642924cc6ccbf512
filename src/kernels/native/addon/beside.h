// Work that is done beside the products.
#pragma once

#include <cstddef>

namespace attention {

/// Work in pieces that a thread does between the instructions of its products. Products by tiles leave the
/// rest of a core idle while they are computed, and what is computed between two of them leaves the tiles
/// idle, which then need a while before they are at full speed again: the two are best done at once. Other
/// products use the same instructions as everything else; beside them there is time for memory alone, and
/// they take a step before each piece of theirs.
class Beside {
 public:
  /// Nothing.
  Beside() = default;
  /// `work(piece)` for each of so many pieces, spread evenly over `steps` calls of step(). `work` outlives
  /// it.
  template <typename Work>
  Beside(const Work& work, size_t pieces, size_t steps)
      : work_([](const void* of, size_t piece) { (*static_cast<const Work*>(of))(piece); }),
        of_(&work),
        pieces_(pieces),
        steps_(steps) {}

  /// Does as many pieces as are due. Inlined like all of it: it is compiled for several instruction sets.
  [[gnu::always_inline]] inline void step() {
    for (due_ += pieces_; due_ >= steps_ && done_ < pieces_; due_ -= steps_) work_(of_, done_++);
  }

  /// Does what is left.
  [[gnu::always_inline]] inline void finish() {
    while (done_ < pieces_) work_(of_, done_++);
  }

 private:
  void (*work_)(const void* of, size_t piece) = nullptr;
  const void* of_ = nullptr;
  size_t pieces_ = 0, done_ = 0;
  /// Of every `steps_` parts of a piece that are due a piece is done.
  size_t steps_ = 1, due_ = 0;
};

}  // namespace attention
