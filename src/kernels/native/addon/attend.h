// Attention of panels of queries, by blocks of keys.
#pragma once

#include <algorithm>
#include <new>
#include <type_traits>
#include <utility>

#include "heads.h"
#include "key_blocks.h"
#include "scratch.h"

namespace attention::ISA {

/// Panels of queries that go through the keys side by side: a block of keys and values comes from far away
/// for the first of them only.
constexpr size_t kSideBySide = 4;

/// Panels that go side by side. An array of std::optional would be filled with zeros for every head, five
/// thousand bytes of them.
class PanelsSideBySide {
 public:
  template <typename... Of>
  void add(Of&&... of) {
    new (memory_ + count_++ * sizeof(AttendingPanel)) AttendingPanel(std::forward<Of>(of)...);
  }
  size_t count() const { return count_; }
  AttendingPanel& operator[](size_t i) {
    return *std::launder(reinterpret_cast<AttendingPanel*>(memory_ + i * sizeof(AttendingPanel)));
  }

 private:
  static_assert(std::is_trivially_destructible_v<AttendingPanel>);

  alignas(AttendingPanel) unsigned char memory_[kSideBySide * sizeof(AttendingPanel)];
  size_t count_ = 0;
};

/// Attention of the queries [from, to) of one head.
inline void attendQueries(const Call& call, const HeadOperands& reads, size_t batch, size_t head, size_t from,
                          size_t to) {
  static thread_local Scratch scoreScratch, queryScratch, outputScratch;
  const Operands& operands = *call.operands;
  KeyBlocks blocks(operands, scoreScratch.take(KeyBlocks::room(operands)));
  const size_t queryRows = operands.rows(call.headSize), size = call.valueHeadSize;
  float* q = queryScratch.take(kSideBySide * queryRows * kPanel);
  float* o = outputScratch.take(kSideBySide * size * kPanel);
  const size_t all = call.allKeys(), keyWords = operands.words(call.headSize);
  while (from < to) {
    PanelsSideBySide panels;
    for (; panels.count() < kSideBySide && from < to; from += kPanel) {
      const size_t at = panels.count();
      panels.add(call, reads, batch, head, from, std::min<size_t>(kPanel, to - from),
                 q + at * queryRows * kPanel, o + at * size * kPanel);
    }
    const size_t there = panels.count();
    for (size_t block = 0; block < all; block += kBlock) {
      const size_t end = std::min(block + kBlock, all), behind = std::min(kBlock, all - end);
      const Upcoming keys{reads.keys + end * keyWords, behind * keyWords};
      const Upcoming values{reads.values + operands.wordsBefore(end) * size, operands.words(behind) * size};
      for (size_t i = 0; i < there; i++) {
        if (panels[i].queries.sees(block, end))
          blocks.take(panels[i], block, end, keys.part(i, there), values.part(i, there));
      }
    }
    blocks.finish();
    for (size_t i = 0; i < there; i++) panels[i].finish();
  }
}

}  // namespace attention::ISA
