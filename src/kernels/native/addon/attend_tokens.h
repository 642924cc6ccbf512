// From the tokens of whole samples to the attention of some of their heads, in one tile.
#pragma once

#include "attend.h"
#include "heads.h"
#include "project.h"
#include "scratch.h"

namespace attention::ISA {

/// Attention of a block of samples by the query heads of the key/value heads [from, to). Q, K and V live in
/// the working memory of the thread and in its second-level cache, for as long as they are needed: of a batch
/// of short samples they would otherwise be written to memory and read back.
inline void attendTokenBlock(const Call& call, size_t block, size_t from, size_t to) {
  static thread_local Scratch queryScratch, keyScratch, valueScratch, sizeScratch;
  const size_t first = block * call.samplesOfBlock(kPanel);
  const size_t last = std::min(first + call.samplesOfBlock(kPanel), call.batch);
  const size_t samples = last - first, group = call.heads / call.kvHeads;
  const size_t queryPanels = panelsOf(call.queries, kPanel), keyPanels = panelsOf(call.keys, kPanel);
  const size_t size = call.headSize, valueSize = call.valueHeadSize;

  const HeadPanels queries{queryScratch.take(samples * (to - from) * group * queryPanels * size * kPanel),
                           (to - from) * group,
                           call.queries,
                           size,
                           first,
                           from * group};
  const HeadPanels keys{keyScratch.take(samples * (to - from) * keyPanels * size * kPanel),
                        to - from,
                        call.keys,
                        size,
                        first,
                        from};
  // Rows come by whole panels of columns, which may begin and end with columns of other heads.
  const size_t valueFrom = from * valueSize / kPanel * kPanel;
  const size_t valueTo = std::min(panelsOf(to * valueSize, kPanel) * kPanel, call.value.linear.columns());
  const size_t firstValueHead = valueFrom / valueSize;
  const size_t valueHeads = panelsOf(valueTo, valueSize) - firstValueHead;
  const HeadRows values{valueScratch.take(samples * valueHeads * call.keys * valueSize),
                        valueHeads,
                        call.keys,
                        valueSize,
                        first,
                        firstValueHead};
  const size_t sizeStride = columnPanels(from * size, to * size);
  float* sizes = sizeScratch.take(samples * keyPanels * sizeStride);

  const auto tokensOf = [&](const Source& source) -> TokenPanels {
    const size_t rows = source.tokens.dealt.rows, panels = panelsOf(rows, kPanel);
    return {source.tokens.panels.data, first * panels, last * panels, rows};
  };
  projectToPanels(call, call.query.linear, tokensOf(call.query), queries, from * group * size,
                  to * group * size);
  projectToPanels(call, call.key.linear, tokensOf(call.key), keys, from * size, to * size, sizes, sizeStride);
  projectToRows(call, call.value.linear, tokensOf(call.value), values, valueFrom, valueTo);

  for (size_t sample = first; sample < last; sample++) {
    for (size_t head = from * group; head < to * group; head++) {
      const size_t kvHead = head / group;
      HeadOperands reads{};
      reads.queries = queries.panel(sample, head, 0);
      reads.keys = keys.panel(sample, kvHead, 0);
      reads.values = values.row(sample, kvHead, 0);
      reads.keySizes =
          sizes + (sample - first) * keyPanels * sizeStride + kvHead * size / kPanel - from * size / kPanel;
      reads.sizesOfPanel = columnPanels(kvHead * size, (kvHead + 1) * size);
      reads.keySizeStride = sizeStride;
      attendQueries(call, reads, sample, head, 0, call.queries);
    }
  }
}

}  // namespace attention::ISA
