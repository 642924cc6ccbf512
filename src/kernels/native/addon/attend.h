// Attention of panels of queries, by blocks of keys.
#pragma once

#include <algorithm>
#include <optional>

#include "heads.h"
#include "key_blocks.h"
#include "scratch.h"

namespace attention::ISA {

/// Panels of queries that go through the keys side by side: a block of keys and values comes from far away
/// for the first of them only.
constexpr size_t kSideBySide = 4;

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
    std::optional<AttendingPanel> panels[kSideBySide];
    size_t there = 0;
    for (; there < kSideBySide && from < to; there++, from += kPanel) {
      panels[there].emplace(call, reads, batch, head, from, std::min<size_t>(kPanel, to - from),
                            q + there * queryRows * kPanel, o + there * size * kPanel);
    }
    for (size_t block = 0; block < all; block += kBlock) {
      const size_t end = std::min(block + kBlock, all), behind = std::min(kBlock, all - end);
      const Upcoming keys{reads.keys + end * keyWords, behind * keyWords};
      const Upcoming values{reads.values + operands.wordsBefore(end) * size, operands.words(behind) * size};
      for (size_t i = 0; i < there; i++) {
        if (panels[i]->queries.sees(block, end))
          blocks.take(*panels[i], block, end, keys.part(i, there), values.part(i, there));
      }
    }
    blocks.finish();
    for (size_t i = 0; i < there; i++) panels[i]->finish();
  }
}

}  // namespace attention::ISA
